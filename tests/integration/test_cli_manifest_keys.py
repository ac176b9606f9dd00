"""`lorajs manifest keys`: what a manifest has encrypted to its recipient becomes root keys, and nothing of it is shown."""

from __future__ import annotations

import json
import os
import sys

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

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
            (nameless, "it names no DevEUI")]
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
