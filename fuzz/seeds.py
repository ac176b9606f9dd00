"""Write the seeds that come from the vectors, each named after its vector."""

import json
import pathlib

HERE = pathlib.Path(__file__).parent
VECTORS = HERE.parent / "tests" / "vectors" / "lorawan-join.json"

REKEY = HERE.parent / "tests" / "vectors" / "rekey-1.txt"
REKEY_MORE = {
    "own-abort": "03 00 0700 00010203",
    "own-abort-rfu": "03 01 0700 00010203",
    "own-status-none": "02 08 0700 00010203",
    "own-suite-of-a-later-day": "01 78 0700 0100000000000000 0102 aabbcc 00010203",
    "own-short": "01 1c 0700 01000000",
}

# fuzz target: (kind of vector, member)...
FROM = {
    "fuzz_air_frame": [
        ("codec_join_request", "bytes"),
        ("codec_rejoin_request", "bytes"),
        ("codec_join_accept", "bytes"),
        ("cflist", "bytes"),
        ("join_request_mic", "frame"),
        ("rejoin_request_mic", "frame"),
        ("join_accept", "plaintext"),
    ],
    "fuzz_air_data": [("data_frame", "frame"), ("data_mic_down", "message")],
    "fuzz_air_mac": [("mac_command", "bytes")],
}

# Streams of several commands: every one that there is, uplink and downlink, RFU bits set, and
# one that is cut short.
STREAMS = {
    "own-all-up": "00 0101 02 0307 04 0507 06ff3f 0703 08 09 0a03 0b01 0c 0d 0f01 1007 1103 12 1301 2001",
    "own-all-down": "01 0101 021401 0351ff0001 0400 0502aabbcc 06 0703aabbcc50 0801 0915 0a03aabbcc 0b01 0c67"
    " 0d0102030480 0e251c 0f42 10 11aabbcc05 12010203 13aabbcc 2002",
    "own-high-first": "03 0b01 0e3f2d 0fef",
    "own-rfu": "00 01f1 0bf1 0fff",
    "own-rejoin-type-rfu": "01 0e7500 0e2500",
    "own-short": "01 0b01 0e25",
    "own-proprietary": "00 0b01 80 0b01",
}


def write(target: str, name: str, octets: bytes) -> None:
    folder = HERE / "corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(octets)


def direction(vector: dict) -> bytes:
    """The first octet of fuzz_air_mac's input: bit 0 is the direction, bit 1 the octet order."""
    down = vector["inputs"]["direction"] == "down"
    return bytes([down | 2 * (vector["id"] == "tts-forcerejoin")])


def main() -> None:
    for target, rows in FROM.items():
        for vector in json.loads(VECTORS.read_text()):
            for kind, member in rows:
                if vector["kind"] == kind:
                    octets = (vector["inputs"].get(member) or vector["expected"].get(member))["hex"]
                    before = direction(vector) if target == "fuzz_air_mac" else b""
                    write(target, vector["id"], before + bytes.fromhex(octets))
    for name, octets in STREAMS.items():
        write("fuzz_air_mac", name, bytes.fromhex(octets))
    for line in REKEY.read_text().splitlines():
        if line.split()[:1] and line.split()[0].endswith((".req", ".ans")):
            write("fuzz_air_rekey", line.split()[0], bytes.fromhex(line.split()[1]))
    for name, octets in REKEY_MORE.items():
        write("fuzz_air_rekey", name, bytes.fromhex(octets))


if __name__ == "__main__":
    main()
