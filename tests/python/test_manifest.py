"""Manifests from Python: the same entries as the vectors have."""

from __future__ import annotations

import io
import json
import pathlib

import pytest

import lorajs
from lorajs import Manifest, ManifestEntry, ManifestVerdict

ROOT = pathlib.Path(__file__).resolve().parents[2]
VECTORS = json.loads((ROOT / "tests/vectors/manifests.json").read_text())
TRUSTED = {"signers": [VECTORS["signer"].encode()], "roots": [VECTORS["root"].encode()]}


def read(text: str, **more: object) -> list[ManifestEntry]:
    return list(Manifest(io.BytesIO(text.encode()), **(TRUSTED | more)))  # type: ignore[arg-type]


def verdict(name: str) -> ManifestVerdict:
    return ManifestVerdict[name.upper().replace("-", "_")]


def test_every_entry_of_the_vectors() -> None:
    for row in VECTORS["entries"]:
        [entry] = read(f"[{row['entry']}]")
        assert entry.verdict is verdict(row["verdict"]), row["what"]
        assert entry.good == (row["verdict"] == "good") == bool(entry.signer)
        if not entry.good:
            assert entry == ManifestEntry(0, 1, entry.verdict, entry.unique_id, entry.detail) and entry.verdict.text
    for row in VECTORS["manifests"]:
        join_euis = [lorajs.EUI(row["join_eui"])] if row["join_eui"] else []
        entries = read(row["entries"], join_euis=join_euis)
        assert [entry.verdict for entry in entries] == [verdict(name) for name in row["verdicts"]]


def test_what_an_entry_says() -> None:
    row = next(row for row in VECTORS["entries"] if row["what"] == "generation C")
    [entry] = read(f"[{row['entry']}]")
    assert (entry.unique_id, entry.dev_eui, entry.join_eui) == (
        "012300000000000127", lorajs.EUI("0004a31000000001"), lorajs.EUI("70b3d57ed0000000"))
    assert entry.version == 1 and entry.suffix == 0x27 and entry.public_key is not None and len(entry.public_key) == 64
    assert {verdict.text for verdict in ManifestVerdict} == {lorajs.native.manifest_verdict_text(i) for i in range(25)}


def test_one_thread_at_a_time() -> None:
    """What one reads, another writes: whoever comes while a call is under way is told."""
    manifest = Manifest(io.BytesIO(b"[{}, {}]"))
    entries = iter(manifest)
    with manifest._alone:
        with pytest.raises(lorajs.Fault, match="in use") as busy:
            next(entries)
    assert busy.value.name == "STATE" and len(list(Manifest(io.BytesIO(b"[{}, {}]")))) == 2


def test_what_is_no_manifest() -> None:
    for text in ("", "[", "{}", "[]]", "[{}"):
        with pytest.raises(lorajs.InvalidError):
            read(text)
    manifest = Manifest(io.BytesIO(b"[{}, {"))
    entries = iter(manifest)
    assert next(entries).verdict is ManifestVerdict.NOT_JWS  # before it is known that the rest is missing
    with pytest.raises(lorajs.InvalidError):
        next(entries)
    assert repr(manifest) == "<Manifest>"
    with pytest.raises(lorajs.InvalidError):
        Manifest(io.BytesIO(), signers=[b"none"])
    with pytest.raises(lorajs.InvalidError):
        Manifest(io.BytesIO(), roots=TRUSTED["signers"])


def test_the_keys_of_its_recipient() -> None:
    made = json.loads((ROOT / "tests/vectors/manifest-keys.json").read_text())
    trusted = {"signers": [made["manifest"]["signer"].encode()], "roots": [made["manifest"]["root"].encode()]}
    recipient = lorajs.Key.from_hex(made["recipient"])
    manifest = Manifest(io.BytesIO(made["manifest"]["entries"].encode()), **trusted)
    with pytest.raises(lorajs.Fault):
        manifest.secrets(recipient)  # there was no entry yet
    found = []
    for entry in manifest:
        if entry.good:
            found.append(manifest.secrets(recipient))
            continue
        with pytest.raises(lorajs.Fault) as caught:
            manifest.secrets(recipient)
        assert caught.value.code == lorajs.Code.STATE
    assert [len(secrets) for secrets in found] == [3, 0, 1]
    first, second, third = found[0]
    assert first.key is not None and second.key is not None
    assert (first.kid, second.kid) == ("0", "") and bytes(first.key.export()[::-1]).hex() == made["key"]
    assert bytes(second.key.export()).hex() == made["key"]
    assert third.key is None and third.detail == "it is not encrypted for this recipient, or was altered"
    assert made["key"] not in repr(found)
    with pytest.raises(TypeError):
        manifest.secrets("not a key")  # type: ignore[arg-type]
