"""The known exchanges of real network servers, over HTTP against the running daemon."""

from __future__ import annotations

import json
import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
VECTORS = json.loads((ROOT / "tests/vectors/lorawan-join.json").read_text())


def of_kind(kind: str) -> list:
    return [pytest.param(v, id=v["id"]) for v in VECTORS if v["kind"] == kind]


def device_line(vector: dict) -> dict:
    """The line of `lorajs device import` for a vector's device."""
    device = vector["inputs"]["device"]
    version = device.get("mac_version") or vector["lorawan_version"]
    line = {"lorawan_version": version if version[0] == "1" else "1.1", "next_join_nonce": device["join_nonce_next"]}
    for name in ("dev_eui", "join_eui", "nwk_key", "app_key", "home_net_id"):
        if device.get(name):
            line[name] = device[name]["hex"]
    for name in ("ns_kek_label", "as_kek_label"):
        if device.get(name):
            line[name] = device[name]
    return line


def provision(run, data: pathlib.Path, vector: dict) -> None:
    run("device", "import", "-", "--data", data, "--allow-weak-keys", input=json.dumps(device_line(vector)) + "\n")
    for label, kek in vector["inputs"]["keks"].items():
        run("kek", "add", label, "--data", data, "--allow-weak-keys", input=kek["hex"] + "\n")


def compare(vector: dict, answer: dict) -> None:
    """Every member that the vector knows, octet for octet, and no key that it does not."""
    expected = vector["expected"]
    assert answer["Result"]["ResultCode"] == expected["result_code"]
    assert answer["MessageType"] == expected["answer_type"]
    assert answer["SenderID"] == expected["sender_id"]
    assert answer["ReceiverID"] == expected["receiver_id"]
    assert answer["TransactionID"] == expected["transaction_id"]
    known = expected.get("keys", {})
    for name in ("NwkSKey", "FNwkSIntKey", "SNwkSIntKey", "NwkSEncKey", "AppSKey"):
        if name not in known:
            assert name not in answer
            continue
        assert answer[name] == {"KEKLabel": known[name].get("KEKLabel", ""), "AESKey": known[name]["AESKey"]}
    phy = expected.get("PHYPayload") or vector.get("derived", {}).get("PHYPayload")
    if phy and expected["result_code"] == "Success":
        assert answer["PHYPayload"] == phy
        assert len(answer["SessionKeyID"]) == 32
        assert isinstance(answer["Lifetime"], int)
    if "HNetID" in expected:
        assert answer["HNetID"] == expected["HNetID"]


@pytest.mark.parametrize("vector", [p for p in of_kind("backend_exchange") if p.values[0].get("origin") != "computed"])
def test_recorded_exchange(run, serve, data: pathlib.Path, vector: dict) -> None:
    provision(run, data, vector)
    flags = [] if vector["inputs"]["keks"] else ["--allow-clear-keys"]
    compare(vector, serve(*flags).ask(vector["inputs"]["request"]))


def test_life_of_one_device(run, serve, data: pathlib.Path) -> None:
    """Join, rejoin 0, 2 and 1, and joins by the rules of 1.0: the daemon is killed before each."""
    vectors = [v for v in VECTORS if v["kind"] == "backend_exchange" and v.get("origin") == "computed"]
    assert len(vectors) == 6
    provision(run, data, vectors[0])
    for vector in vectors:
        server = serve("--allow-clear-keys")
        compare(vector, server.ask(vector["inputs"]["request"]))
        server.kill()


PEERS = """
data = "{data}"
plain-peer = "ns"
peer "ns" {{
    net-ids = {{ "000001", "42FFFF", "000000" }}
    ns-ids = {{ "70B3D57ED0000001", "0000000000000000" }}
    clear-ns = true
    clear-as = true
}}
"""


@pytest.mark.parametrize("vector", of_kind("backend_policy"))
def test_policy(serve, data: pathlib.Path, tmp_path: pathlib.Path, vector: dict) -> None:
    config = tmp_path / "lorajs.conf"
    config.write_text(PEERS.format(data=data))
    status, body = serve("--config", config).post(vector["inputs"]["request"])
    assert status == vector["expected"]["http_status"]
    answer = json.loads(body)
    assert answer["Result"]["ResultCode"] == vector["expected"].get("result_code", "MalformedRequest")


def lower(answer: dict) -> dict:
    """Hexadecimal of either case is the same."""
    return {k: v.lower() if isinstance(v, str) and k != "MessageType" else v for k, v in answer.items()}


# The published answers that a server can give by itself: keys of the others were never published.
GIVEN = {
    "tts-msg-join10-mic": {"dev_eui": "0102030405060708", "join_eui": "70B3D57ED0000000", "key": "ff" * 8 + "0f" * 8},
    "tts-msg-appskey10-unknown": None,
    "tts-msg-appskey11-unknown": None,
    "tts-msg-homens10": {"dev_eui": "4242FFFFFFFFFFFF", "join_eui": "42FFFFFFFFFFFFFF", "home_net_id": "42FFFF"},
    "tts-msg-homens11": {"dev_eui": "42FF000000000000", "join_eui": "4200000000000000", "home_net_id": "000001",
                         "home_ns_id": "4242420000000000"},
    "chirpstack-msg-homens": {"dev_eui": "0807060504030201", "join_eui": "0102030405060708", "home_net_id": "030201"},
}


@pytest.mark.parametrize("vector", [p for p in of_kind("backend_message") if p.values[0]["id"] in GIVEN])
def test_published_answer(run, serve, data: pathlib.Path, vector: dict) -> None:
    """The whole answer, member for member; ours may say more than the published one."""
    device = dict(GIVEN[vector["id"]] or {})
    if device:
        line = {"lorawan_version": "1.0.3", "nwk_key": device.pop("key", "00112233445566778899aabbccddeeff"), **device}
        run("device", "import", "-", "--data", data, "--allow-weak-keys", input=json.dumps(line) + "\n")
    answer = lower(serve("--allow-clear-keys").ask(vector["inputs"]["request"]))
    want = lower(json.loads(vector["expected"]["answer"]))
    want["Result"] = answer["Result"] if answer["Result"]["ResultCode"] == want["Result"]["ResultCode"] else want["Result"]
    assert {k: answer.get(k) for k in want} == want
    assert "HNSID" not in answer or want["ProtocolVersion"] == "1.1"


def test_the_things_stack_joins(run, serve, data: pathlib.Path) -> None:
    """Its published JoinReq, byte for byte, with its device's key: Success, and what it needs of it."""
    vector = next(v for v in VECTORS if v["id"] == "tts-msg-join10-ok")
    line = {"dev_eui": "0102030405060708", "join_eui": "70B3D57ED0000000", "lorawan_version": "1.0.3",
            "nwk_key": vector["inputs"]["root_key"]["hex"]}
    run("device", "import", "-", "--data", data, "--allow-weak-keys", input=json.dumps(line) + "\n")
    answer = serve("--allow-clear-keys").ask(vector["inputs"]["request"])
    want = json.loads(vector["expected"]["answer"])
    assert answer["Result"]["ResultCode"] == "Success"
    assert set(want) - {"ReceiverToken"} <= set(answer)
    assert len(answer["PHYPayload"]) == 34 and answer["SenderID"] == want["SenderID"]
