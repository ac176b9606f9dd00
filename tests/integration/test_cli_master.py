"""Who keeps the master key: the directory, a passphrase, or somebody else.  Each mistake has its
own words, none has the key or the passphrase in them, and nothing is lost on the way from one
keeper to another."""

from __future__ import annotations

import itertools
import os
import pathlib
import pty
import random
import re
import signal
import sqlite3
import stat
import subprocess
import time

import pytest

from conftest import FAILED, REFUSED, USAGE

KEK = "1f6c2a9d3be84705c1d2e3f4a5b6978a"
WORDS = "orbit velvet canyon magnet ripple thirteen"
CHEAP = ["--stretch-memory", 8, "--stretch-passes", 1]
STAND_INS = {"master.key", "master.sealed", "master.mark"}


def secret(path: pathlib.Path, text: str) -> pathlib.Path:
    path.write_text(text)
    path.chmod(0o600)
    return path


@pytest.fixture
def words(tmp_path) -> str:
    """A --master-key: the passphrase from a file."""
    return f"passphrase:file:{secret(tmp_path / 'words', WORDS + chr(10))}"


@pytest.fixture
def made(run, data):
    """A data directory with one KEK in it, and its key in master.key."""
    run("kek", "add", "ns", "--data", data, input=KEK)
    return data


@pytest.fixture
def sealed(run, made, words):
    run("master", "move", "--data", made, "--to", words, *CHEAP)
    return made


def there(data: pathlib.Path) -> set[str]:
    return {p.name for p in data.iterdir() if p.name.startswith("master.")}


def opens(run, data, *flags, code=0, **more):
    done = run("kek", "list", "--data", data, *flags, code=code, **more)
    assert code or "ns" in done.stdout
    return done


# ---- a passphrase -------------------------------------------------------------------


def test_begins_under_a_passphrase(run, data, words):
    run("kek", "add", "ns", "--data", data, "--master-key", words, input=KEK)
    assert there(data) == {"master.sealed"}
    text = (data / "master.sealed").read_text()
    assert re.fullmatch(r"[0-9a-f]{234}\n", text) and stat.S_IMODE((data / "master.sealed").stat().st_mode) == 0o600
    assert text.startswith("6c6a734d01" + "00000400" + "03000000"), "256 MiB and three passes"
    opens(run, data, "--master-key", words)


def test_the_passphrase_comes_from_a_descriptor(run, sealed, program):
    for text in (WORDS, WORDS + "\n", WORDS + "\r\n"):
        read, write = os.pipe()
        os.write(write, text.encode())
        os.close(write)
        opens(run, sealed, "--master-key", f"passphrase:fd:{read}", pass_fds=[read])
        os.close(read)
    opens(run, sealed, "--master-key", "passphrase:fd:0", input=WORDS)
    assert "Bad file descriptor" in opens(run, sealed, "--master-key", "passphrase:fd:99", code=FAILED).stderr


def test_the_passphrase_is_a_credential(run, sealed, tmp_path):
    directory = tmp_path / "credentials"
    directory.mkdir()
    (directory / "words").write_text(WORDS)
    (directory / "words").chmod(0o440)  # as systemd leaves it, with an ACL for the service's user
    opens(run, sealed, "--master-key", "passphrase:credential:words", env={"CREDENTIALS_DIRECTORY": str(directory)})
    done = opens(run, sealed, "--master-key", "passphrase:credential:words", code=FAILED)
    assert "CREDENTIALS_DIRECTORY" in done.stderr and "LoadCredential" in done.stderr
    done = opens(run, sealed, "--master-key", "passphrase:credential:other", code=FAILED,
                 env={"CREDENTIALS_DIRECTORY": str(directory)})
    assert "other" in done.stderr


def on_a_terminal(program: str, *args: object, typed: list[str]) -> tuple[int, str]:
    """Run it with a terminal of its own, and answer each prompt; exit code, and what the terminal showed."""
    pid, fd = pty.fork()
    if pid == 0:
        os.execv(program, [program, *map(str, args)])
    shown, waiting = b"", list(typed)
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            piece = os.read(fd, 4096)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        shown += piece
        if waiting and shown.endswith(b": "):
            os.write(fd, waiting.pop(0).encode() + b"\n")
    _, status = os.waitpid(pid, 0)
    os.close(fd)
    assert not waiting, shown
    return os.waitstatus_to_exitcode(status), shown.decode()


def test_the_passphrase_is_asked_for_and_not_shown(program, run, made, sealed):
    code, shown = on_a_terminal(program, "kek", "list", "--data", sealed, typed=[WORDS])
    assert code == 0 and "passphrase of the master key: " in shown and "ns" in shown and "orbit" not in shown
    code, shown = on_a_terminal(program, "kek", "list", "--data", sealed, typed=["some other words"])
    assert code == REFUSED and "not its passphrase" in shown and "some other" not in shown
    done = subprocess.run([program, "kek", "list", "--data", str(sealed)], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, start_new_session=True)
    assert done.returncode == FAILED and "no terminal" in done.stderr and "passphrase:file" in done.stderr


def test_a_new_passphrase_is_asked_for_twice(program, run, made):
    move = ["master", "move", "--data", made, "--to", "passphrase", *CHEAP]
    code, shown = on_a_terminal(program, *move, typed=[WORDS, WORDS + "x"])
    assert code == REFUSED and "two different" in shown and there(made) == {"master.key"}
    code, shown = on_a_terminal(program, *move, typed=[WORDS, WORDS])
    assert code == 0 and "orbit" not in shown and there(made) == {"master.sealed"}
    opens(run, made, "--master-key", "passphrase:fd:0", input=WORDS)


def test_another_passphrase(run, sealed, tmp_path):
    for text in (WORDS[:-1], WORDS + " ", WORDS.upper(), "", "x" * 1024):
        wrong = secret(tmp_path / "wrong", text)
        done = opens(run, sealed, "--master-key", f"passphrase:file:{wrong}", code=REFUSED)
        assert "this is not its passphrase" in done.stderr and "damaged" not in done.stderr
    wrong.chmod(0o640)
    assert "others than its owner" in opens(run, sealed, "--master-key", f"passphrase:file:{wrong}", code=FAILED).stderr


def test_a_damaged_seal_is_no_wrong_passphrase(run, sealed, words):
    text = (sealed / "master.sealed").read_text()
    changed = [text[:at] + ("0" if text[at] != "0" else "1") + text[at + 1:] for at in range(0, len(text) - 1, 9)]
    for bad in [*changed, text[:-1], text[:100] + "\n", "", "\n", text + "\n", text.replace("6c", "zz")]:
        (sealed / "master.sealed").write_text(bad)
        done = opens(run, sealed, "--master-key", words, code=FAILED)
        assert "damaged" in done.stderr and "not its passphrase" not in done.stderr, bad
        assert (sealed / "master.sealed").read_text() == bad
    (sealed / "master.sealed").write_text(text)
    opens(run, sealed, "--master-key", words)


def test_a_damaged_database_is_no_wrong_passphrase(run, sealed, words):
    with sqlite3.connect(sealed / "lorajs.db") as db:
        [(value,)] = db.execute("SELECT value FROM kv WHERE key = ?", (b"m",))
        db.execute("UPDATE kv SET value = ? WHERE key = ?", (value[:-1] + bytes([value[-1] ^ 1]), b"m"))
    db.close()
    done = opens(run, sealed, "--master-key", words, code=FAILED)
    assert "the master key is that of this data directory" in done.stderr and "not its passphrase" not in done.stderr


@pytest.mark.parametrize("text", ["", "short", "eleven char", "x" * 1025])
def test_a_passphrase_that_is_none(run, data, made, tmp_path, text):
    wrong = secret(tmp_path / "wrong", text)
    done = run("master", "move", "--data", made, "--to", f"passphrase:file:{wrong}", *CHEAP, code=REFUSED)
    assert "12 to 1024" in done.stderr or "more than" in done.stderr
    assert there(made) == {"master.key"}
    other = tmp_path / "other"
    run("kek", "add", "ns", "--data", other, "--master-key", f"passphrase:file:{wrong}", input=KEK, code=REFUSED)
    assert list(other.iterdir()) == []


@pytest.mark.parametrize("source", [WORDS, f"passphrase:{WORDS}", "passphrase:fd:", "passphrase:fd:x", "fd:-1", "file:",
                                    "credential:", "credential:../x", "credential:.x", "passphrase:file:", "files", "",
                                    "passphrase:fd:65536", KEK + KEK])
def test_wrong_words(run, made, source):
    done = opens(run, made, "--master-key", source, code=USAGE)
    assert "--master-key takes file" in done.stderr and WORDS not in done.stderr and KEK not in done.stderr


# ---- somebody else ------------------------------------------------------------------


@pytest.fixture
def key(tmp_path) -> pathlib.Path:
    return secret(tmp_path / "elsewhere.key", os.urandom(32).hex() + "\n")


def test_begins_with_a_key_kept_elsewhere(run, data, key, tmp_path):
    source = f"file:{key}"
    run("kek", "add", "ns", "--data", data, "--master-key", source, input=KEK)
    assert there(data) == {"master.mark"} and re.fullmatch(r"[0-9a-f]{32}\n", (data / "master.mark").read_text())
    opens(run, data, "--master-key", source)
    # the same key, given otherwise
    directory = tmp_path / "credentials"
    directory.mkdir()
    (directory / "lorajs").write_text(key.read_text())
    opens(run, data, "--master-key", "credential:lorajs", env={"CREDENTIALS_DIRECTORY": str(directory)})
    opens(run, data, "--master-key", "fd:0", input=key.read_text())
    assert "say where with --master-key" in opens(run, data, code=FAILED).stderr
    assert "is not kept as --master-key says" in opens(run, data, "--master-key", "file", code=FAILED).stderr


def test_another_key_elsewhere(run, data, key, tmp_path):
    run("kek", "add", "ns", "--data", data, "--master-key", f"file:{key}", input=KEK)
    other = secret(tmp_path / "other.key", os.urandom(32).hex() + "\n")
    assert "not the one of this data directory" in opens(run, data, "--master-key", f"file:{other}", code=REFUSED).stderr
    for text in ("", "00", "z" * 64 + "\n", "0" * 63 + "\n"):
        secret(other, text)
        assert "64 hexadecimal digits" in opens(run, data, "--master-key", f"file:{other}", code=FAILED).stderr
    other.chmod(0o644)
    assert "others than its owner" in opens(run, data, "--master-key", f"file:{other}", code=FAILED).stderr
    mark = (data / "master.mark").read_text()
    for bad, code in (("0" * 32 + "\n", REFUSED), ("0" * 31 + "\n", FAILED), ("", FAILED), (mark[:-1], FAILED)):
        (data / "master.mark").write_text(bad)
        opens(run, data, "--master-key", f"file:{key}", code=code)
    (data / "master.mark").write_text(mark)
    opens(run, data, "--master-key", f"file:{key}")


def test_a_lost_database_is_seen_though_the_key_is_elsewhere(run, data, key):
    run("kek", "add", "ns", "--data", data, "--master-key", f"file:{key}", input=KEK)
    for p in data.glob("lorajs.db*"):
        p.unlink()
    done = run("kek", "add", "as", "--data", data, "--master-key", f"file:{key}", input=KEK, code=FAILED)
    assert "no lorajs.db" in done.stderr and there(data) == {"master.mark"} and not (data / "lorajs.db").exists()


# ---- from one keeper to another ------------------------------------------------------


def test_every_way_and_back(run, made, words, tmp_path):
    key = secret(tmp_path / "copy.key", (made / "master.key").read_text())
    sources = {"file": "master.key", words: "master.sealed", f"file:{key}": "master.mark"}
    now = "file"
    for was, to in [*itertools.permutations(sources, 2)]:
        if was != now:
            run("master", "move", "--data", made, "--master-key", now, "--to", was, *CHEAP)
        run("master", "move", "--data", made, "--master-key", was, "--to", to, *CHEAP)
        now = to
        assert there(made) == {sources[to]}
        opens(run, made, "--master-key", now)
    run("master", "move", "--data", made, "--master-key", now, "--to", "file")
    assert (made / "master.key").read_text() == key.read_text(), "the key itself stays what it is"


def test_a_new_passphrase(run, sealed, words, tmp_path):
    before = (sealed / "master.sealed").read_text()
    new = f"passphrase:file:{secret(tmp_path / 'new', 'entirely different words')}"
    run("master", "move", "--data", sealed, "--master-key", words, "--to", new, *CHEAP)
    assert there(sealed) == {"master.sealed"} and (sealed / "master.sealed").read_text() != before
    opens(run, sealed, "--master-key", new)
    opens(run, sealed, "--master-key", words, code=REFUSED)


def test_a_key_is_not_removed_before_its_copy_is_there(run, made, tmp_path):
    for where, says in ((tmp_path / "none.key", "No such file"), (made / "master.key", "elsewhere first"),
                        (secret(tmp_path / "other.key", os.urandom(32).hex() + "\n"), "another one")):
        done = run("master", "move", "--data", made, "--to", f"file:{where}", code=None)
        assert done.returncode in (FAILED, REFUSED) and says in done.stderr
        assert there(made) == {"master.key"}
    assert "already" in run("master", "move", "--data", made, "--to", "file", code=REFUSED).stderr
    assert "needs --to" in run("master", "move", "--data", made, code=USAGE).stderr
    opens(run, made)


def test_two_stand_ins_ask_which_counts(run, made, words):
    text = (made / "master.key").read_text()
    run("master", "move", "--data", made, "--to", words, *CHEAP)
    secret(made / "master.key", text)  # as a crash before the last step leaves it
    assert "two files for one master key" in opens(run, made, code=FAILED).stderr
    opens(run, made, "--master-key", "file")
    opens(run, made, "--master-key", words)
    run("master", "move", "--data", made, "--master-key", "file", "--to", words, *CHEAP)
    assert there(made) == {"master.sealed"}


def test_killed_at_any_moment_it_loses_nothing(run, program, made, words):
    """Wherever `master move` is killed, one keeper at least still opens the database."""
    dice = random.Random(5)
    sources = ["file", words]
    moved = 0
    for _ in range(30):
        good = [s for s in sources if run("kek", "list", "--data", made, "--master-key", s, code=None).returncode == 0]
        assert good, there(made)
        was = dice.choice(good)
        to = sources[1 - sources.index(was)]
        process = subprocess.Popen([program, "master", "move", "--data", str(made), "--master-key", was, "--to", to,
                                    *map(str, CHEAP)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(dice.uniform(0, 0.08))
        process.send_signal(signal.SIGKILL)
        moved += process.wait() == 0
    assert there(made) & STAND_INS
    assert any("ns" in run("kek", "list", "--data", made, "--master-key", s, code=None).stdout for s in sources)
