"""`lorajs why`: what a real daemon decided, in plain words, with the remedy."""

from __future__ import annotations

import json
import re
import sqlite3

import pytest

from conftest import REFUSED, USAGE, device_line

EUI = "0102030405060708"
JOIN_EUI = "70b3d57ed0000000"
# The known answer `tts-client-jr`: DevNonce 0 under this key.
KEY = "01020304050607080102030405060708"
PHY = "00000000d07ed5b370080706050403020100003851f0b6"


def request(phy: str = PHY, sender: str = "000013", **members) -> dict:
    return {"ProtocolVersion": "1.0", "SenderID": sender, "ReceiverID": JOIN_EUI, "TransactionID": 1,
            "MessageType": "JoinReq", "MACVersion": "1.0.3", "PHYPayload": phy, "DevEUI": EUI, "DevAddr": "01020304",
            "DLSettings": "00", "RxDelay": 1, **members}


@pytest.fixture
def told(run, data, server):
    """Imports the device, asks, stops the daemon, and gives `why` as text and JSON."""

    def teller(*requests: dict, line: dict | None = None, between=lambda: None) -> tuple[str, list[dict]]:
        run("device", "import", "-", "--data", data, "--allow-weak-keys",
            input=device_line(int(EUI, 16), **{"nwk_key": KEY, "join_eui": JOIN_EUI, **(line or {})}))
        between()
        for r in requests:
            server.ask(r)
        assert server.stop() == 0
        text = run("why", EUI, "--data", data).stdout
        return text, [json.loads(o) for o in run("why", EUI, "--data", data, "--json").stdout.splitlines()]

    return teller


def test_a_device_that_never_came(told):
    text, said = told()
    assert "has not joined" in text and "do not arrive here" in text
    assert said == [{"dev_eui": EUI, "state": "fresh", "lorawan_version": "1.0.3", "last_dev_nonce": None}]


def test_a_join(told):
    text, said = told(request())
    assert re.search(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ +joined: DevNonce 0, LoRaWAN 1.0.3, network 000013, JoinNonce 1, "
                     r"DevAddr 01020304", text, re.M)
    assert said[0]["state"] == "joined" and said[0]["last_dev_nonce"] == 0
    assert said[1]["decision"] == "joined" and said[1]["nonce"] == 0 and said[1]["remedy"] is None
    assert "what to do" not in text


def test_a_used_dev_nonce_before_1_0_4(told):
    text, said = told(request(), request(DLSettings="01"))
    assert "refused a join-request" in text and "DevNonce 0 was used before (last accepted 0)" in text
    assert "draws DevNonce at random" in text and f"reset-nonces {EUI}" in text
    assert [s["decision"] for s in said[1:]] == ["refused", "joined"] and said[1]["error"] == "REPLAY"


def test_a_dev_nonce_that_went_back_from_1_0_4_on(told):
    text, said = told(request(MACVersion="1.0.4"), line={"lorawan_version": "1.0.4", "last_dev_nonce": 9})
    assert "DevNonce 0 is lower than one accepted before (last accepted 9)" in text
    assert "lost that memory" in text and f"lorajs device reset-nonces {EUI}" in text
    assert said[1]["error"] == "REPLAY" and said[0]["last_dev_nonce"] == 9


def test_a_repeat(told):
    text, said = told(request(), request(TransactionID=2))
    assert "DevNonce 0 came again, and got the same answer" in text
    assert {s["decision"] for s in said[1:]} == {"joined", "repeated"}


def test_a_wrong_key(told):
    text, said = told(*[request(PHY[:-2] + "00")] * 3)
    assert "message integrity code does not match" in text and "what to do: compare the root key" in text
    assert "3 times in a row" in text and said[1]["count"] == 3 and said[1]["error"] == "MIC"


def test_a_wrong_join_eui(told):
    text, said = told(request(), line={"join_eui": "70b3d57ed0000001"})
    assert said[1]["error"] == "JOINEUI" and "what to do" in text


def test_another_home_network(told):
    text, said = told(request(sender="000014"), line={"home_net_id": "000013"})
    assert said[1]["error"] == "HOME" and said[1]["net_id"] == "000014"


def test_a_blocked_device(told, run, data):
    text, said = told(request(), between=lambda: run("device", "block", EUI, "--data", data))
    assert "blocked: nothing is answered. What to do: `lorajs device unblock`" in text
    assert said[0]["state"] == "blocked" and said[1]["error"] == "BLOCKED"


def test_newest_first_and_no_more_than_asked_for(told, run, data):
    text, said = told(request(PHY[:-2] + "00"), request(), request(DLSettings="01"), request(DLSettings="02"))
    assert [s["at"] for s in said[1:]] == sorted((s["at"] for s in said[1:]), reverse=True) and len(said) > 2
    few = run("why", EUI, "--data", data, "--json", "--limit", 1).stdout.splitlines()
    assert len(few) == 2 and json.loads(few[1]) == said[1]
    assert text.count("\n20") + text.startswith("20") == len(said) - 1


def refuse(run, data, server, *euis: int) -> None:
    """A join of each with a MIC that is none."""
    run("device", "import", "-", "--data", data, "--allow-weak-keys",
        input="\n".join(device_line(eui, nwk_key=KEY, join_eui=JOIN_EUI) for eui in euis))
    for eui in euis:
        phy = "00" + bytes.fromhex(JOIN_EUI)[::-1].hex() + eui.to_bytes(8, "little").hex() + "0100" + "00000000"
        server.ask(request(phy, DevEUI=f"{eui:016x}"))


def test_all_devices(run, data, server):
    """Who was refused, and nobody else; in words and as JSON, by time and by outcome."""
    first = int(EUI, 16)
    run("device", "import", "-", "--data", data, input=device_line(first + 9))
    refuse(run, data, server, first + 5, first, first + 2)
    assert server.stop() == 0
    said = [json.loads(o) for o in run("why", "--all", "--data", data, "--json").stdout.splitlines()]
    assert [s["dev_eui"] for s in said] == [f"{first + i:016x}" for i in (0, 2, 5)]
    assert {s["error"] for s in said} == {"MIC"} and all(s["decision"] == "refused" and s["remedy"] for s in said)
    text = run("why", "--all", "--data", data).stdout
    assert re.findall(r"^(\w{16})  LoRaWAN 1.0.3, provisioned", text, re.M) == [s["dev_eui"] for s in said]
    assert text.count("what to do: ") == 3
    assert run("why", "--all", "--data", data, "--outcome", "refused", "--json").stdout.splitlines() == [
        o for o in run("why", "--all", "--data", data, "--json", "--since", said[0]["at"] - 5).stdout.splitlines()]
    for words in (("--outcome", "repeated"), ("--since", "2099-01-01")):
        assert run("why", "--all", "--data", data, "--json", *words).stdout == ""
        assert run("why", "--all", "--data", data, *words).stdout == "Nothing of the kind.\n"
        assert len(run("why", EUI, "--data", data, "--json", *words).stdout.splitlines()) == 1
    assert "either a DevEUI or --all" in run("why", "--data", data, code=USAGE).stderr
    assert "either a DevEUI or --all" in run("why", EUI, "--all", "--data", data, code=USAGE).stderr
    assert "--since takes" in run("why", "--all", "--data", data, "--since", "yesterday", code=USAGE).stderr


def test_what_cannot_be_read_hides_no_other(run, data, server):
    first = int(EUI, 16)
    refuse(run, data, server, first, first + 1)
    assert server.stop() == 0
    with sqlite3.connect(data / "lorajs.db") as db:
        key = b"w" + first.to_bytes(8, "big")
        [[value]] = db.execute("SELECT value FROM kv WHERE key = ?", (key,)).fetchall()
        db.execute("UPDATE kv SET value = ? WHERE key = ?", (value[:-1] + bytes([value[-1] ^ 1]), key))
    done = run("why", "--all", "--data", data, "--json", code=REFUSED)
    assert [json.loads(o)["dev_eui"] for o in done.stdout.splitlines()] == [f"{first + 1:016x}"]
    assert f"{EUI}: its decisions: " in done.stderr and "SEAL" in done.stderr


def test_an_unknown_device(run, data, server):
    server.ask(request())
    assert server.stop() == 0
    done = run("why", EUI, "--data", data, code=REFUSED)
    assert f"{EUI} is not provisioned" in done.stdout and "lorajs device import" in done.stdout
    said = json.loads(run("why", EUI, "--data", data, "--json", code=REFUSED).stdout.splitlines()[0])
    assert said["state"] is None and said["remedy"]


def test_while_the_daemon_runs(run, data, server):
    run("device", "import", "-", "--data", data, "--allow-weak-keys",
        input=device_line(int(EUI, 16), nwk_key=KEY, join_eui=JOIN_EUI))
    server.ask(request())
    assert "joined: DevNonce 0" in run("why", EUI, "--data", data).stdout  # a session is there before its answer is


def test_no_key_is_told(told):
    text, said = told(request(), request(DLSettings="01"))
    assert KEY not in text and KEY not in json.dumps(said)
