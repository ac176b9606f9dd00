"""`lorajs manifest keys`: what a manifest has encrypted to its recipient becomes root keys, and nothing of it is shown."""

from __future__ import annotations

import json
import os
import sys

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB

from conftest import DONE, REFUSED, ROOT, USAGE, device_line
from joins import Device, result

sys.path.insert(0, str(ROOT / "tests"))
from jwe import all_of, compact, encrypt, entry, in_one, oct_jwk, secret_of  # noqa: E402
from manifests import Chip, Maker, flip, pem, text_of  # noqa: E402

RECIPIENT = ec.generate_private_key(ec.SECP256R1())
TO = RECIPIENT.public_key()


@pytest.fixture(scope="module")
def maker() -> Maker:
    return Maker()


@pytest.fixture
def keys(run, maker, data, tmp_path):
    """keys(text, *flags): as `run`, trusting the maker."""
    for name, text in (("signer", pem(maker.log)), ("root", pem(maker.root)), ("recipient", secret_of(RECIPIENT).hex())):
        (tmp_path / name).write_text(text)

    def runner(text, *flags, **more):
        (tmp_path / "manifest").write_text(text)
        done = run("manifest", "keys", tmp_path / "manifest", "--data", data, "--recipient", tmp_path / "recipient",
                   "--signer", tmp_path / "signer", "--root", tmp_path / "root", *flags, **more)
        assert secret_of(RECIPIENT).hex() not in done.stdout + done.stderr
        return done

    return runner


def sealed(key: bytes, kid: str | None = None, *, one: bool = False):
    made = encrypt(compact(oct_jwk(key, kid)).encode(), TO)
    return in_one(made) if one else made


def objects(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def shown(run, data, chip: Chip) -> dict:
    return json.loads(run("device", "show", chip.dev_eui, "--data", data, "--json").stdout)


def test_a_manifest_with_keys_joins_and_shows_none(run, maker, keys, data, serve):
    roots = [os.urandom(16) for _ in range(3)]
    text = text_of([entry(maker, 1, [sealed(roots[0], "app"), sealed(os.urandom(16), "other")]), maker.good(2),
                    entry(maker, 3, [sealed(roots[1], "nwk", one=True), sealed(roots[2], "app")])])
    done = keys(text, "--app-key", "app", "--dry-run", code=None)
    assert done.returncode != DONE and not (data / "lorajs.db").exists()  # there is nothing to look at yet
    done = keys(text, "--app-key", "app", "--json", code=REFUSED)
    first, second, third, end = objects(done.stdout)
    assert first["result"] == third["result"] == "keys taken" and end == {"entries": 3, "taken": 2, "refused": 1}
    assert second["reason"] == "it has no key for its recipient"
    assert all(key.hex() not in done.stdout + done.stderr for key in roots)
    device = shown(run, data, Chip(maker, 1))
    assert (device["lorawan_version"], device["join_eui"], device["keys"]) == ("1.0.4", "70b3d57ed0000000", ["app_key"])
    # The same again is no change; for 1.1 both are needed.
    keys(text, "--app-key", "app", code=REFUSED)
    refused = keys(text_of([entry(maker, 9, [sealed(roots[0], "app")])]), "--app-key", "app", "--lorawan-version", "1.1",
                   code=REFUSED)
    assert "LoRaWAN 1.1 takes other keys" in refused.stdout
    both = text_of([entry(maker, 5, [sealed(roots[1]), sealed(roots[2])])])
    assert "would be taken" in keys(both, "--nwk-key", "#0", "--app-key", "#1", "--lorawan-version", "1.1", "--dry-run").stdout
    assert Chip(maker, 5).dev_eui not in run("device", "list", "--data", data, "--json").stdout
    assert "it has no key #2" in keys(both, "--nwk-key", "#0", "--app-key", "#2", "--lorawan-version", "1.1",
                                      code=REFUSED).stdout
    keys(both, "--nwk-key", "#0", "--app-key", "#1", "--lorawan-version", "1.1")
    assert shown(run, data, Chip(maker, 5))["keys"] == ["nwk_key", "app_key"]
    server = serve("--allow-clear-keys")
    joining = Device(int(Chip(maker, 1).dev_eui, 16), key=roots[0])
    assert result(server.ask(joining.join(frame=joining.frame(1)))) == "Success"
    octets = b"".join(path.read_bytes() for path in data.iterdir() if path.name.startswith("lorajs.db"))
    assert all(key not in octets for key in roots)


def test_a_device_that_is_there_keeps_what_it_has(run, maker, keys, data):
    chip, key = Chip(maker, 7), os.urandom(16)
    run("device", "import", "-", "--data", data, input=device_line(int(chip.dev_eui, 16), app_key=key.hex(), nwk_key=None,
                                                                  as_id="as.example", next_join_nonce=9))
    text = text_of([entry(maker, 7, [sealed(key, "k")])])
    keys(text, "--app-key", "k")
    device = shown(run, data, chip)
    assert (device["as_id"], device["next_join_nonce"], device["epoch"], device["lorawan_version"]) == (
        "as.example", 9, 0, "1.0.3")
    other = text_of([entry(maker, 7, [sealed(os.urandom(16), "k")])])
    assert "--replace-keys" in keys(other, "--app-key", "k", code=REFUSED).stdout
    keys(other, "--app-key", "k", "--replace-keys")
    assert shown(run, data, chip)["epoch"] == 1


def test_registered_before_and_by_both(run, maker, keys, data, tmp_path):
    """One manifest, for the chips first and then for the keys: the device is owned and joins, and its chip is kept."""
    chip, roots = Chip(maker, 21), [os.urandom(16), os.urandom(16)]
    text = text_of([entry(maker, 21, [sealed(roots[0], "nwk"), sealed(roots[1], "app")])])
    run("account", "add", "acme", "--data", data)
    (tmp_path / "first").write_text(text)
    register = ("manifest", "register", tmp_path / "first", "--data", data, "--signer", tmp_path / "signer", "--root",
                tmp_path / "root")
    assert "registered, assigned to acme" in run(*register, "--account", "acme", "--chip", "required").stdout
    before = shown(run, data, chip)
    assert (before["keys"], before["lorawan_version"]) == ([], "1.0.4")
    both = (text, "--nwk-key", "nwk", "--app-key", "app", "--lorawan-version", "1.1")
    assert "would be taken" in keys(*both, "--dry-run").stdout and shown(run, data, chip) == before
    keys(*both)
    assert shown(run, data, chip) == before | {"keys": ["nwk_key", "app_key"], "lorawan_version": "1.1"}
    assert "unchanged" in run(*register).stdout and "keys taken" in keys(*both).stdout  # again, either way
    claim = json.loads(run("claim", "show", chip.dev_eui, "--data", data, "--json").stdout)
    assert claim["account"] == "acme"
    run("audit", "verify", "--data", data)


def test_of_devices_that_are_there(run, maker, keys, data):
    """Of a lot, with more than one JoinEUI, or removed."""
    lot, own = os.urandom(16), os.urandom(16)
    run("lot", "add", "meters", "--data", data, input=lot.hex())
    chips = [Chip(maker, number) for number in (31, 32, 33)]
    derived = [Cipher(AES(lot), ECB()).encryptor().update(
        b"\xd2" + bytes.fromhex(chip.dev_eui)[::-1] + bytes(7)) for chip in chips]
    run("device", "import", "-", "--data", data, input="\n".join([
        device_line(int(chips[0].dev_eui, 16), nwk_key=None, lot="meters", lorawan_version="1.0.4"),
        device_line(int(chips[1].dev_eui, 16), nwk_key=None, app_key=own.hex(), join_euis=["70b3d57ed0000000", "70b3d57ed0000001"],
                    join_eui=None),
        device_line(int(chips[2].dev_eui, 16), nwk_key=None, app_key=own.hex(), next_join_nonce=7)]))
    taken = text_of([entry(maker, 31, [sealed(derived[0], "k")]), entry(maker, 32, [sealed(own, "k")])])
    assert "--replace-keys" in keys(text_of([entry(maker, 31, [sealed(own, "k")])]), "--app-key", "k", code=REFUSED).stdout
    assert shown(run, data, chips[0])["lot"] == "meters"
    keys(taken, "--app-key", "k", "--lorawan-version", "1.0.4")
    one, two = (shown(run, data, chip) for chip in chips[:2])
    assert "lot" not in one and (one["keys"], one["epoch"]) == (["app_key"], 0)
    assert two["join_euis"] == ["70b3d57ed0000000", "70b3d57ed0000001"] and two["lorawan_version"] == "1.0.4"
    run("device", "remove", chips[2].dev_eui, "--data", data)
    keys(text_of([entry(maker, 33, [sealed(os.urandom(16), "k")])]), "--app-key", "k")
    three = shown(run, data, chips[2])
    assert (three["state"], three["next_join_nonce"], three["lorawan_version"]) == ("fresh", 7, "1.0.4")


def test_each_entry_is_refused_for_itself_and_changes_nothing(run, maker, keys, data):
    key = os.urandom(16)
    twice = [sealed(key, "k"), sealed(os.urandom(16), "k")]
    forged = entry(maker, 14, [sealed(key, "k")])
    forged["signature"] = flip(forged["signature"], 5)
    nameless = maker.entry(maker.payload(Chip(maker, 16, "M"), encryptedSecretKeySet={"keys": [sealed(key, "k")]}))
    rows = [(entry(maker, 10, twice), "two keys have the kid k"),
            (entry(maker, 11, [sealed(key, "j")]), "it has no key k"),
            (entry(maker, 12, [sealed(b"\0" * 16, "k")]), "so regular that it is no secret"),
            (entry(maker, 13, [sealed(key, "k")] * 33), "it has more than 31 keys"),
            (forged, "the signature is not the signer's"),
            (entry(maker, 15, [sealed(key, "k"), "no JWE"]), "key 1: it is no JWE of five parts"),
            (nameless, "it names no DevEUI"),
            (maker.entry(maker.payload(Chip(maker, 17), modelInfo=None, encryptedSecretKeySet={"keys": [sealed(key, "k")]})),
             "it names no JoinEUI")]
    rows += [(entry(maker, 100 + i, [jwe]), f"key 0: {refused}") for i, (_, jwe, refused) in enumerate(all_of(key, TO)) if refused]
    good = entry(maker, 99, [sealed(key, "k")])
    done = keys(text_of([row for row, _ in rows] + [good]), "--app-key", "k", "--json", code=REFUSED)
    *entries, last, end = objects(done.stdout)
    for said, (_, reason) in zip(entries, rows, strict=True):
        assert reason in said["reason"] and "result" not in said
    assert last["result"] == "keys taken" and end == {"entries": len(rows) + 1, "taken": 1, "refused": len(rows)}
    assert key.hex() not in done.stdout + done.stderr
    assert run("device", "list", "--data", data).stdout.count(Chip(maker, 99).dev_eui) == 1
    assert len(objects(run("device", "list", "--data", data, "--json").stdout)) == 1


def test_what_it_needs(run, maker, keys, data, tmp_path):
    text = text_of([entry(maker, 1, [sealed(os.urandom(16), "k")])])
    assert "--nwk-key or --app-key" in keys(text, code=USAGE).stderr
    assert "1.0.0 to 1.0.4" in keys(text, "--app-key", "k", "--lorawan-version", "2", code=USAGE).stderr
    (tmp_path / "short").write_text(os.urandom(16).hex())
    assert "64 hexadecimal digits" in keys(text, "--app-key", "k", "--recipient", tmp_path / "short", code=REFUSED).stderr
    (tmp_path / "none").write_text("ff" * 32)  # over the order of the curve
    assert "recipient's key is none" in keys(text, "--app-key", "k", "--recipient", tmp_path / "none", code=REFUSED).stdout
    other = tmp_path / "other"
    other.write_text(secret_of(ec.generate_private_key(ec.SECP256R1())).hex())
    assert "not encrypted for this recipient" in keys(text, "--app-key", "k", "--recipient", other, code=REFUSED).stdout
    assert run("device", "list", "--data", data, "--json").stdout == ""
