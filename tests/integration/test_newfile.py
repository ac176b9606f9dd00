"""Files that somebody wants to keep: under their name there is the whole or nothing, wherever the command that writes
them ends; and no root key is in one, finished or not, whose device is not marked and in the log."""

from __future__ import annotations

import fcntl
import json
import os
import pathlib
import resource
import shutil
import stat
import subprocess

import pytest
from conftest import DONE, FAILED, PATIENCE, device_line
from test_backup import killer, memory  # noqa: F401: fixtures

MANY = 70  # two commits


@pytest.fixture
def made(run, memory):  # noqa: F811
    """A data directory with so many devices; by DevEUI, their root keys."""
    keys = {f"{0x100 + i:016x}": os.urandom(16).hex().upper() for i in range(MANY)}
    run("device", "import", "-", "--data", memory / "data",
        input="\n".join(device_line(int(eui, 16), nwk_key=key) for eui, key in keys.items()))
    return memory / "data", keys


def audit(run, data: pathlib.Path, kind: str) -> list[dict]:
    return [json.loads(line) for line in run("audit", "show", "--data", data, "--kind", kind, "--json").stdout.splitlines()]


def words(data: pathlib.Path, out: pathlib.Path, *more: object) -> tuple:
    return ("export", "--format", "lorajs", "--all", "--clear-keys", "--data", data, "--output", out, *more)


def test_keys_leave_many_with_one_commit(run, made):
    """And the log has each of their devices, by name, in a link that was durable before."""
    data, keys = made
    run(*words(data, data.parent / "out", "--block"))
    for kind in "block", "expose":
        told = audit(run, data, kind)
        assert {entry["dev_eui"] for entry in told} == set(keys) and len(told) == MANY
        assert len({(entry["chain"], entry["sequence"]) for entry in told}) == 2  # 64 and 6
    run("audit", "verify", "--data", data)
    lines = [json.loads(line) for line in (data.parent / "out").read_text().splitlines()]
    assert {line["dev_eui"]: line.get("nwk_key") or line["app_key"] for line in lines} == keys


def test_killed_at_each_step(run, program, killer, made):  # noqa: F811
    """Before each sync and each change of a name.  The same command once more does it, over what was left."""
    data, keys = made
    out, part, work = data.parent / "out", data.parent / "out.part", data.parent / "work"
    seen = {"nothing": 0, "a part": 0, "the whole": 0}
    for at in range(1, 200):
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(data, work)
        done = subprocess.run([program, *map(str, words(work, out))], capture_output=True, timeout=PATIENCE, env={
            **os.environ, "LD_PRELOAD": killer, "KILL_AT": str(at), "KILL_SYNCS": "1",
            "ASAN_OPTIONS": "verify_asan_link_order=0:detect_leaks=0"})
        assert done.returncode in (DONE, -9), done.stderr
        written = b"".join(path.read_bytes() for path in (out, part) if path.exists()).decode()
        exposed = {entry["dev_eui"] for entry in audit(run, work, "expose")}
        assert all(eui in exposed for eui, key in keys.items() if key in written)
        seen["the whole" if out.exists() else "a part" if written else "nothing"] += 1
        if out.exists():
            assert len(out.read_text().splitlines()) == MANY
            assert not (done.returncode == DONE and part.exists())
            out.unlink()
        else:
            run(*words(work, out))
            assert len(out.read_text().splitlines()) == MANY and not part.exists()
            assert stat.S_IMODE(out.stat().st_mode) == 0o600
            out.unlink()
        if done.returncode == DONE:
            break
    else:
        raise AssertionError("it never came to its end")
    assert at > 8 and all(seen.values()), seen


def test_what_stands_beside(run, made):
    data, _ = made
    out, part, other = data.parent / "out", data.parent / "out.part", data.parent / "other"
    secret = ("key", "generate", "--output", out)
    part.write_text("what a command that was killed has left, longer than what comes\n" * 9)
    part.chmod(0o644)
    with open(part) as theirs:  # somebody could open it, and keeps it open
        run(*secret)
        assert len(theirs.read()) > 500
    assert len(out.read_text()) == 33 and stat.S_IMODE(out.stat().st_mode) == 0o600 and not part.exists()
    before = out.read_text()
    assert "exists" in run(*secret, code=FAILED).stderr.lower() and out.read_text() == before and not part.exists()
    out.rename(other)
    os.link(other, part)  # a file that has its name already
    run(*secret)
    assert other.read_text() == before and out.read_text() != before and not part.exists()
    out.unlink()
    part.symlink_to(other)
    run(*secret, code=FAILED)
    part.unlink()
    os.mkfifo(part)
    run(*secret, code=FAILED)
    part.unlink()
    with open(part, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert "somebody is writing" in run(*secret, code=FAILED).stderr
    assert other.read_text() == before and not out.exists()
    out.symlink_to(data.parent / "nowhere")
    assert "exists" in run(*secret, code=FAILED).stderr.lower()


def test_where_a_rename_may_replace(run, killer, memory):  # noqa: F811
    """A file system that knows no other kind: the name is a link first."""
    old = {"LD_PRELOAD": killer, "OLD_RENAME": "1", "ASAN_OPTIONS": "verify_asan_link_order=0:detect_leaks=0"}
    secret = ("key", "generate", "--output", memory / "out")
    run(*secret, env=old)
    assert [path.name for path in memory.iterdir()] == ["out"] and len((memory / "out").read_text()) == 33
    run("key", "pair", "x25519", "--output", memory / "pair", env=old)
    assert sorted(path.name for path in memory.iterdir()) == ["out", "pair", "pair.pub"]
    (memory / "pair").unlink()
    assert "exists" in run("key", "pair", "x25519", "--output", memory / "pair", env=old, code=FAILED).stderr.lower()
    assert sorted(path.name for path in memory.iterdir()) == ["out", "pair.pub"]


def test_no_room(run, made):
    """Of none of them a part stays."""
    data, _ = made
    folder = data.parent / "full"
    folder.mkdir()
    long = ("--set", f"frequency_plan_id={'x' * 127}", "--set", f"lorawan_phy_version={'y' * 127}")
    for what in (("export", "--format", "tts-json", "--all", "--data", data, "--output", folder / "out", *long), ("qr", "make", "--join-eui", "0" * 16, "--dev-eui", "1" * 16, "--profile", "AABB1122", "--svg", folder / "svg"),
                 ("key", "generate", "--output", folder / "key"), ("key", "pair", "ed25519", "--output", folder / "pair")):
        room = 33000 if "export" in what else 16  # that of the database's shared memory, which is a file
        done = run(*what, code=FAILED,
                   preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY)))
        assert "too large" in done.stderr and not list(folder.iterdir()), what
