"""--dry-run: it says what the command would, with the same exit code, and nothing is changed; the same words without it
change something."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator

import pytest

from conftest import DONE, FAILED, REFUSED, device_line
from test_backup import memory  # noqa: F401: a fixture

FREE, JOINED, BLOCKED, OWNED, GONE, MOVING, LOOKED_FOR = (f"{0x0102030405060708 + i:016x}" for i in range(7))
MORE = [f"{0x200 + i:016x}" for i in range(65)]  # with these, more than go with one commit
KEY, OTHER = os.urandom(16).hex(), os.urandom(16).hex()


@pytest.fixture(scope="module")
def made(program) -> Iterator[pathlib.Path]:
    """A data directory with one of each, and files beside it, where syncs cost nothing."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as folder:
        make(program, pathlib.Path(folder))
        yield pathlib.Path(folder)


def make(program: str, folder: pathlib.Path) -> None:
    data = folder / "data"

    def do(*words: object, input: str = "") -> str:
        return subprocess.run([program, *map(str, words), *([] if words[0] == "key" else ["--data", str(data)])],
                              input=input.encode(), check=True, stdout=subprocess.PIPE).stdout.decode()

    do("device", "import", "-", input="\n".join(device_line(int(eui, 16), nwk_key=os.urandom(16).hex(), next_join_nonce=9)
                                                 for eui in (FREE, JOINED, BLOCKED, OWNED, GONE, *MORE)))
    do("device", "import", "-", input="\n".join(device_line(int(eui, 16), nwk_key=os.urandom(16).hex(), rekey_key=KEY,
                                                            lorawan_version="1.0.4") for eui in (MOVING, LOOKED_FOR)))
    do("rekey", "start", MOVING, "--experimental", "--transfer", "--join-eui", "0" * 15 + "2")
    do("device", "block", BLOCKED)
    do("device", "remove", GONE)
    do("kek", "add", "ns", input=KEY)
    do("kek", "add", "next", input=OTHER)
    do("kek", "add", "worn", input=KEY)
    do("kek", "retire", "worn")
    do("lot", "add", "meters", input=KEY)
    do("account", "add", "acme")
    do("account", "add", "globex")
    do("account", "suspend", "globex")
    do("claim", "assign", OWNED, "--account", "acme")
    do("role", "add", "ops", "--roles", "audit", "--output", folder / "token")
    do("key", "pair", "x25519", "--output", folder / "receiver")
    do("key", "pair", "ed25519", "--output", folder / "sender")
    do("device", "export", FREE, "--to", folder / "receiver.pub", "--sign", folder / "sender", "--output", folder / "gift")
    (folder / "line").write_text(device_line(0x77, nwk_key=OTHER))
    (folder / "nobody.pub").write_text(f"x25519 {'00' * 32}\n")  # of low order: no secret can be shared with it
    (folder / "elsewhere").write_text((data / "master.key").read_text())
    (folder / "another").write_text(os.urandom(32).hex() + "\n")
    for secret in "elsewhere", "another":
        (folder / secret).chmod(0o600)


# Words, what is on standard input, and what they come to.
WAYS = [
    (["device", "add", "--dev-eui", "0" * 15 + "1", "--join-eui", "0" * 16, "--lorawan-version", "1.0.4"], "AppKey " + OTHER, DONE),
    (["device", "add", "--dev-eui", FREE, "--join-eui", "0" * 16, "--lorawan-version", "1.0.4"], "AppKey " + OTHER, REFUSED),
    (["device", "export", "--all", "--to", "FOLDER/receiver.pub", "--sign", "FOLDER/sender", "--output", "FOLDER/parcel"], "", DONE),
    (["device", "export", "--all", "--to", "FOLDER/nobody.pub", "--sign", "FOLDER/sender", "--output", "FOLDER/parcel"], "", REFUSED),
    (["device", "export", "--all", "--to", "FOLDER/receiver.pub", "--sign", "FOLDER/sender", "--output", "FOLDER/line"], "", FAILED),
    (["device", "export", FREE, GONE, "--to", "FOLDER/receiver.pub", "--sign", "FOLDER/sender", "--output", "FOLDER/parcel"], "", REFUSED),
    (["device", "block", FREE, JOINED], "", DONE),
    (["device", "block", BLOCKED], "", REFUSED),
    (["device", "unblock", BLOCKED], "", DONE),
    (["device", "move-back", FREE], "", REFUSED),
    (["device", "reset-nonces", FREE], "", DONE),
    (["device", "remove", OWNED], "", DONE),
    (["device", "remove", FREE, FREE], "", REFUSED),
    (["device", "import", "-"], "\n".join(device_line(0x78, nwk_key=key) for key in (KEY, OTHER)), REFUSED),
    (["import", "-", "--format", "lorajs"], "\n".join(device_line(0x78, nwk_key=key) for key in (KEY, OTHER)), REFUSED),
    (["device", "import", "-"], "\n".join([device_line(0x78, nwk_key=KEY)] * 2), DONE),
    (["device", "remove", GONE, "0" * 16], "", REFUSED),
    (["kek", "add", "new"], OTHER, DONE),
    (["kek", "add", "ns"], OTHER, REFUSED),
    (["kek", "add", "ns", "--replace"], OTHER, DONE),
    (["kek", "add", "@nobody/x"], OTHER, REFUSED),
    (["kek", "retire", "ns"], "", DONE),
    (["kek", "retire", "worn", "--back"], "", DONE),
    (["kek", "rotate", "ns", "--to", "next"], "", DONE),
    (["kek", "rotate", "ns", "--to", "new", "--key-file", "-"], OTHER, DONE),
    (["kek", "rotate", "ns", "--to", "next", "--key-file", "-"], KEY, REFUSED),
    (["kek", "rotate", "next", "--to", "worn"], "", REFUSED),
    (["kek", "rotate", "none", "--to", "new", "--key-file", "-"], OTHER, REFUSED),
    (["kek", "remove", "ns"], "", DONE),
    (["kek", "remove", "none"], "", REFUSED),
    (["lot", "add", "new"], OTHER, DONE),
    (["lot", "add", "meters"], OTHER, REFUSED),
    (["account", "add", "new"], "", DONE),
    (["account", "add", "acme"], "", REFUSED),
    (["account", "resume", "none"], "", REFUSED),
    (["account", "remove", "globex"], "", DONE),
    (["account", "remove", "acme"], "", REFUSED),
    (["role", "add", "new", "--roles", "audit", "--output", "FOLDER/other-token"], "", DONE),
    (["role", "add", "new", "--roles", "audit", "--output", "FOLDER/token"], "", FAILED),
    (["role", "add", "new", "--roles", "audit", "--output", "FOLDER/none/token"], "", FAILED),
    (["role", "add", "ops", "--roles", "audit", "--output", "FOLDER/other-token"], "", REFUSED),
    (["role", "add", "new", "--roles", "claim", "--account", "none", "--output", "FOLDER/other-token"], "", REFUSED),
    (["role", "remove", "none"], "", REFUSED),
    (["export", "--all", "--format", "lorajs", "--output", "FOLDER/line"], "", FAILED),
    (["export", "--all", "--format", "lorajs", "--output", "FOLDER/none/line"], "", FAILED),
    (["device", "receive", "FOLDER/gift", "--key", "FOLDER/receiver", "--from", "FOLDER/sender.pub"], "", DONE),
    (["claim", "enrol", FREE], "", DONE),
    (["claim", "suspend", OWNED, OWNED], "", REFUSED),
    (["claim", "assign", FREE, "--account", "acme"], "", DONE),
    (["rekey", "start", LOOKED_FOR, "--experimental"], "", DONE),
    (["rekey", "start", FREE, "--experimental"], "", REFUSED),
    (["rekey", "start", MOVING, "--experimental"], "", REFUSED),
    (["rekey", "start", GONE, "--experimental"], "", REFUSED),
    (["rekey", "resync", LOOKED_FOR, "--experimental"], "", DONE),
    (["rekey", "resync", LOOKED_FOR, "--close"], "", REFUSED),
    (["rekey", "message", MOVING, "00"], "", REFUSED),
    (["rekey", "abort", MOVING], "", DONE),
    (["rekey", "abort", FREE], "", REFUSED),
    (["rekey", "release", MOVING], "", DONE),
    (["rekey", "release", FREE], "", REFUSED),
    (["rekey", "reopen", MOVING], "", REFUSED),
    (["rekey", "reopen", "0" * 16], "", REFUSED),
    (["master", "move", "--to", "file:FOLDER/elsewhere"], "", DONE),
    (["master", "move", "--to", "file:FOLDER/token"], "", REFUSED),
    (["master", "move", "--to", "file:FOLDER/another"], "", REFUSED)]


def rows(data: pathlib.Path) -> list:
    db = sqlite3.connect(data / "lorajs.db")
    try:
        return db.execute("SELECT key, version, value FROM kv ORDER BY key").fetchall()
    finally:
        db.close()


def files(folder: pathlib.Path) -> dict:
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*")
            if path.is_file() and not path.name.startswith("lorajs.db")}


@pytest.mark.parametrize("words, text, code", WAYS, ids=lambda way: " ".join(way[:3]) if isinstance(way, list) else "")
def test_nothing_is_changed(run, made, memory, words, text, code):  # noqa: F811
    words, data = [word.replace("FOLDER", str(made)) for word in words], made / "data"
    before, beside = rows(data), files(made)
    tried = run(*words, "--dry-run", "--data", data, input=text, code=code)
    assert rows(data) == before and files(made) == beside
    assert "would" in tried.stdout or "could" in tried.stdout or code, tried.stdout
    shutil.copytree(made, memory / "copy")
    words = [word.replace(str(made), str(memory / "copy")) for word in words]
    done = run(*words, "--data", memory / "copy/data", input=text, code=code)
    if code == DONE:
        assert rows(memory / "copy/data") != before or files(memory / "copy") != beside
    else:
        assert done.stderr.replace(str(memory / "copy"), str(made)) == tried.stderr


def test_over_nothing(run, made, data, tmp_path):
    """Where a command would make the data directory, it is tried over one that nobody sees."""
    for words, text in ((["kek", "add", "ns"], KEY), (["lot", "add", "meters"], KEY),
                        (["device", "add", "--dev-eui", FREE, "--join-eui", "0" * 16, "--lorawan-version", "1.1"],
                         f"NwkKey {KEY}\nAppKey {OTHER}")):
        [said] = map(json.loads, run(*words, "--dry-run", "--json", "--data", data, input=text).stdout.splitlines())
        assert said["result"] == "would be added" and not data.exists()
    said = run("account", "add", "acme", "--dry-run", "--data", data).stdout
    said += run("role", "add", "ops", "--roles", "audit", "--output", tmp_path / "token", "--dry-run", "--data", data).stdout
    said += run("device", "receive", made / "gift", "--key", made / "receiver", "--from", made / "sender.pub", "--dry-run",
                "--data", data).stdout
    assert said == "acme: would be added\nops: would be added\n1 would be received\n"
    assert not list(tmp_path.iterdir())
    run("role", "add", "ops", "--roles", "claim", "--account", "acme", "--output", tmp_path / "token", "--dry-run",
        "--data", data, code=REFUSED)
    for source in "file:", "file:nowhere", "paper", "passphrase:file:nowhere", "credential:none", "pkcs11:token=none":
        words = ["kek", "add", "ns", "--master-key", source]
        code = run(*words, "--data", data, input=KEY, code=None).returncode
        assert code and run(*words, "--dry-run", "--data", data, input=KEY, code=None).returncode == code
    run("kek", "remove", "ns", "--dry-run", "--data", data, code=1)
