"""`lorajs inspect`: every frame of the vectors, field by field, and with keys."""

from __future__ import annotations

import json

import pytest

from conftest import REFUSED, ROOT, USAGE

VECTORS = json.loads((ROOT / "tests/vectors/lorawan-join.json").read_text())


def of_kind(*kinds: str):
    return [pytest.param(v, id=v["id"]) for v in VECTORS if v["kind"] in kinds]


@pytest.fixture
def inspect(run):
    """inspect(HEX, ...): the JSON, after the table was made as well."""

    def inspector(phy: str, *flags, keys: dict | None = None, code: int = 0) -> dict:
        text = "".join(f"{name} {key}\n" for name, key in (keys or {}).items())
        if keys is not None:
            flags = (*flags, "--keys", "-")
        table = run("inspect", phy, *flags, input=text, code=code)
        done = run("inspect", phy, *flags, "--json", input=text, code=code)
        said = json.loads(done.stdout)
        for field in said["fields"]:
            assert field["name"] in table.stdout and field["value"] in table.stdout
        for key in set((keys or {}).values()) - {"00" * 16}:  # zeros are in many a frame too
            assert key not in done.stdout + done.stderr + table.stdout + table.stderr
        return said

    return inspector


def values(said: dict) -> dict:
    return {f["name"]: f["value"] for f in said["fields"]}


def covers(said: dict, phy: str | None = None) -> None:
    """The fields are the whole frame, in order."""
    at = 0
    for f in said["fields"]:
        assert f["first"] == at and len(f["octets"]) == 2 * (f["last"] - f["first"] + 1)
        at = f["last"] + 1
    assert at == said["length"]
    if phy:
        assert "".join(f["octets"] for f in said["fields"]) == phy


@pytest.mark.parametrize("vector", of_kind("join_request_mic"))
def test_join_requests(inspect, vector):
    want, phy = vector["expected"], vector["expected"]["frame"]["hex"]
    said = inspect(phy)
    covers(said, phy)
    assert said["frame"] == "join-request" and said["mic"] == "not checked" and said["key"] is None
    assert values(said) == {"MHDR": "00", "JoinEUI": want["join_eui"]["hex"], "DevEUI": want["dev_eui"]["hex"],
                            "DevNonce": str(want["dev_nonce"]), "MIC": want["mic"]["hex"]}
    key = vector["inputs"]["key"]["hex"]
    for name in ("NwkKey", "AppKey"):
        said = inspect(phy, keys={name: key})
        assert (said["mic"], said["key"]) == ("good", name)
    wrong = inspect(phy, keys={"NwkKey": "ff" + key[2:]}, code=REFUSED)
    assert wrong["mic"] == "wrong" and "Another key" in wrong["note"]
    # one key that is wrong does not hide one that is right
    assert inspect(phy, keys={"NwkKey": "fe" + key[2:], "AppKey": key})["key"] == "AppKey"


@pytest.mark.parametrize("vector", of_kind("rejoin_request_mic"))
def test_rejoin_requests(inspect, vector):
    want, kind = vector["expected"], vector["inputs"]["rejoin_type"]
    phy, key = want["frame"]["hex"], vector["inputs"]["key"]["hex"]
    said = inspect(phy)
    covers(said, phy)
    assert said["frame"] == f"rejoin-request {kind}"
    got = values(said)
    assert got["DevEUI"] == want["dev_eui"]["hex"] and got["RejoinType"] == str(kind)
    assert got["RJcount1" if kind == 1 else "RJcount0"] == str(want["rjcount"])
    if kind == 1:
        assert got["JoinEUI"] == want["join_eui"]["hex"]
    else:
        assert got["NetID"] == want["net_id"]["hex"]
    name = "JSIntKey" if kind == 1 else "SNwkSIntKey"
    assert inspect(phy, keys={name: key})["mic"] == "good"
    assert inspect(phy, keys={name: "ff" * 16}, code=REFUSED)["mic"] == "wrong"
    lacking = inspect(phy, keys={"AppKey": key}, code=REFUSED)
    assert lacking["mic"] == "not checked" and name in lacking["note"]


def accept_arguments(vector: dict) -> tuple[list, dict]:
    """Flags and keys for a join-accept of the vectors."""
    given, flags = vector["inputs"], []
    keys: dict[str, str] = {}
    for what, name in (("enc_key", "JSEncKey"), ("mic_key", "JSIntKey")):
        key = given[what]
        if "derive" in key:
            keys["NwkKey"] = key["nwk_key"]["hex"]
            flags += ["--dev-eui", key["dev_eui"]["hex"]]
        elif what == "enc_key":
            keys["NwkKey"] = key["hex"]
        elif given["mode"] == "optneg":
            keys["JSIntKey"] = key["hex"]
    if given["mode"] == "optneg":
        flags += ["--join-eui", given["join_eui"]["hex"], "--dev-nonce", given["dev_nonce"]]
    return flags, keys


@pytest.mark.parametrize("vector", [p for p in of_kind("join_accept") if "rejoin" not in p.id])
def test_join_accepts_decrypt(inspect, vector):
    want, phy = vector["expected"], vector["expected"]["frame"]["hex"]
    closed = inspect(phy)
    covers(closed, phy)
    assert closed["frame"] == "join-accept, encrypted" and [f["name"] for f in closed["fields"]] == ["MHDR", "(encrypted)"]

    flags, keys = accept_arguments(vector)
    said = inspect(phy, *flags, keys=keys)
    covers(said, vector["derived"]["plaintext_with_mic"]["hex"])
    assert said["frame"] == "join-accept, decrypted" and said["mic"] == "good"
    got = values(said)
    assert len(said["keys_derived"]) == (4 if vector["inputs"]["mode"] == "optneg" else 2)
    assert said["rules"] == ("LoRaWAN 1.1" if vector["inputs"]["mode"] == "optneg" else "LoRaWAN 1.0")
    if "join_nonce" in want:
        assert got["JoinNonce"] == str(want["join_nonce"]) and got["NetID"] == want["net_id"]["hex"]
        assert got["DevAddr"] == want["dev_addr"]["hex"] and got["DLSettings"] == want["dl_settings"]["hex"]
        assert got["RxDelay"] == str(want["rx_delay"])
    assert ("CFList" in got) == bool(want["cflist"])
    if vector["inputs"]["mode"] == "1.0":
        assert inspect(phy, keys={"AppKey": keys["NwkKey"]})["key"] == "AppKey"
    wrong = inspect(phy, *flags, keys={"NwkKey": "f0" * 16}, code=REFUSED)
    assert wrong["mic"] == "wrong" and wrong["frame"] == "join-accept, encrypted" and wrong["keys_derived"] == []


def test_join_accept_of_1_1_says_what_it_lacks(inspect):
    vector = next(v for v in VECTORS if v["id"] == "appserver-ja-11-cflist")
    phy = vector["expected"]["frame"]["hex"]
    said = inspect(phy, keys={"NwkKey": vector["inputs"]["enc_key"]["hex"]}, code=REFUSED)
    assert "--dev-eui, --join-eui and --dev-nonce" in said["note"]
    flags, keys = accept_arguments(vector)
    for other in (["--dev-nonce", 259], ["--join-eui", "0807060504030202"], ["--dev-eui", "0102030405060709"],
                  ["--request", "rejoin1"]):
        assert inspect(phy, *flags, *other, keys=keys, code=REFUSED)["mic"] == "wrong"


def test_answer_to_a_rejoin_that_no_text_of_lorawan_has(inspect):
    vector = next(v for v in VECTORS if v["id"] == "appserver-ja-rejoin2-no-optneg")
    flags, keys = accept_arguments(vector)
    said = inspect(vector["expected"]["frame"]["hex"], *flags[:2], "--request", "rejoin2", keys=keys)
    covers(said, vector["derived"]["plaintext_with_mic"]["hex"])
    assert "devices refuse it" in said["note"]


@pytest.mark.parametrize("vector", of_kind("codec_join_accept"))
def test_join_accepts_in_clear(inspect, vector):
    want = vector["expected"]
    said = inspect("20" + vector["inputs"]["bytes"]["hex"])
    covers(said)
    got = values(said)
    assert got["JoinNonce"] == str(want["join_nonce"]) and got["DevAddr"] == want["dev_addr"]["hex"]
    assert ("CFList" in got) == bool(want["cflist"])


def test_what_is_in_a_join_accept_is_explained(inspect):
    said = inspect("20010101020202040302016709184f84e85684b85e84886684586e8400")
    meaning = {f["name"]: f["meaning"] for f in said["fields"]}
    assert meaning["DLSettings"] == "OptNeg 0 (LoRaWAN 1.0), RX1DRoffset 6, RX2DataRate 7"
    assert meaning["RxDelay"] == "RX1 opens 9 s after the uplink"
    assert meaning["CFList"] == "channels in MHz: 867.1 867.3 867.5 867.7 867.9"
    assert "least significant octet first" in meaning["DevAddr"] and "MType 1 (join-accept)" in meaning["MHDR"]
    masks = inspect("200101010202020403020180 00 ff00000000000000000000ff00000001".replace(" ", ""))
    assert {f["name"]: f["meaning"] for f in masks["fields"]}["CFList"] == \
        "channel masks 0-15: 00ff, 16-31: 0000, 32-47: 0000, 48-63: 0000, 64-79: 0000, 80-95: ff00"
    odd = inspect("20010101020202040302018000" + "010000" + "00" * 12 + "07")
    assert "no CFList" in {f["name"]: f["meaning"] for f in odd["fields"]}["CFList"]


def test_sn_wk_s_int_key_of_a_session_is_derived(inspect):
    """The key derived from the session's nonces gives the same verdict as the key itself."""
    keys = next(v for v in VECTORS if v["id"] == "tts-keys-11")
    given = keys["inputs"]
    phy = "c000030201080706050403020102010000 0000".replace(" ", "")
    flags = ["--join-eui", given["join_eui"]["hex"], "--join-nonce", int(given["join_nonce"]["hex"], 16), "--dev-nonce",
             int(given["dev_nonce"]["hex"], 16)]
    said = inspect(phy, *flags, keys={"NwkKey": given["nwk_key"]["hex"]}, code=REFUSED)
    assert said["mic"] == "wrong"  # it was tried
    assert inspect(phy, keys={"NwkKey": given["nwk_key"]["hex"]}, code=REFUSED)["mic"] == "not checked"


@pytest.mark.parametrize("phy, says", [
    ("", "nothing"), ("00", "23 octets; this has 1"), ("00" * 22, "23 octets"), ("00" * 24, "23 octets"),
    ("20" + "00" * 15, "17 octets, or 33"), ("c0" + "00" * 19, "19 octets"), ("c003" + "00" * 17, "RejoinType is 0, 1 or 2, not 3"),
    ("c001" + "00" * 17, "19 octets (types 0 and 2) or 24"), ("40" + "00" * 22, "unconfirmed data up"),
    ("e0", "proprietary"), ("01" + "00" * 22, "RFU and Major"), ("04" + "00" * 22, "RFU and Major"),
    ("80" * 20, "confirmed data up")])
def test_other_octets(inspect, phy, says):
    said = inspect(phy, code=REFUSED)
    assert says in said["fault"] and said["frame"] is None and said["mic"] is None


@pytest.mark.parametrize("phy", ["0", "0g", "zz", "00" * 300, "0x00"])
def test_what_is_no_hexadecimal(run, phy):
    assert "hexadecimal digits" in run("inspect", phy, code=REFUSED).stderr


def test_frame_from_standard_input(run, tmp_path):
    phy = "00040302010403020105040302050403022d106a990e12"
    want = run("inspect", phy, "--json").stdout
    assert run("inspect", "-", "--json", input=phy.upper() + "\n").stdout == want
    assert run("inspect", "-", "--json", input=" ".join(phy[i:i + 2] for i in range(0, 46, 2))).stdout == want
    assert "standard input" in run("inspect", "-", "--keys", "-", input=phy, code=USAGE).stderr
    keys = tmp_path / "keys"
    keys.write_text("AppKey " + "01" * 16)
    assert json.loads(run("inspect", "-", "--keys", keys, "--json", input=phy).stdout)["mic"] == "good"


def test_bad_keys(run):
    done = run("inspect", "00" * 23, "--keys", "-", input="AppKey " + "c0ffee" * 5, code=REFUSED)
    assert "line 1" in done.stderr and "c0ffee" not in done.stderr
    done = run("inspect", "00" * 23, "--keys", "-", input="McKey " + "00" * 16, code=REFUSED)
    assert "NwkKey AppKey" in done.stderr
