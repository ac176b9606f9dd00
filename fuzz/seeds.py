"""Write the seeds that come from the vectors, each named after its vector."""

import json
import pathlib

HERE = pathlib.Path(__file__).parent
VECTORS = HERE.parent / "tests" / "vectors" / "lorawan-join.json"

# fuzz target, kind of vector, member
AIR = [
    ("codec_join_request", "bytes"),
    ("codec_rejoin_request", "bytes"),
    ("codec_join_accept", "bytes"),
    ("cflist", "bytes"),
    ("join_request_mic", "frame"),
    ("rejoin_request_mic", "frame"),
    ("join_accept", "plaintext"),
]


def main() -> None:
    target = HERE / "corpus" / "fuzz_air_frame"
    target.mkdir(parents=True, exist_ok=True)
    for vector in json.loads(VECTORS.read_text()):
        for kind, member in AIR:
            if vector["kind"] == kind:
                octets = (vector["inputs"].get(member) or vector["expected"].get(member))["hex"]
                (target / vector["id"]).write_bytes(bytes.fromhex(octets))


if __name__ == "__main__":
    main()
