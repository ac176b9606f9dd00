"""The data directory: a master key only together with its database, readable by its owner alone."""

from __future__ import annotations

import os
import pathlib
import re
import stat
import subprocess
import threading

import pytest

from conftest import DONE, FAILED, REFUSED, USAGE, device_line

KEK = "1f6c2a9d3be84705c1d2e3f4a5b6978a"


@pytest.fixture
def made(run, data):
    """A data directory with one KEK in it."""
    run("kek", "add", "ns", "--data", data, input=KEK)
    return data


def mode(path: pathlib.Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_what_is_missing_is_made(made, run, data):
    assert mode(data) == 0o700 and mode(data / "master.key") == 0o600 and mode(data / "lorajs.db") == 0o600
    assert re.fullmatch(rb"[0-9a-f]{64}\n", (data / "master.key").read_bytes())
    assert sorted(p.name for p in data.iterdir() if not p.name.startswith("lorajs.db-")) == ["lorajs.db", "master.key"]


def test_parents_are_made_and_the_umask_does_not_matter(run, tmp_path, program):
    deep = tmp_path / "a/b/c"
    done = subprocess.run(["sh", "-c", 'umask 0; exec "$0" kek add ns --data "$1"', program, str(deep)],
                          input=KEK.encode())
    assert done.returncode == DONE
    assert mode(deep) == 0o700 and mode(deep / "master.key") == 0o600 and mode(deep / "lorajs.db") == 0o600


@pytest.mark.parametrize("words", [["device", "list"], ["device", "show", "0" * 16], ["kek", "list"],
                                   ["why", "0" * 16], ["device", "remove", "0" * 16]])
def test_reading_makes_nothing(run, data, words):
    done = run(*words, "--data", data, code=FAILED)
    assert "no data directory" in done.stderr and "device import" in done.stderr and not data.exists()
    data.mkdir(mode=0o700)
    done = run(*words, "--data", data, code=FAILED)
    assert "no database yet" in done.stderr and not list(data.iterdir())


def test_the_environment_names_the_directory(run, made):
    assert "ns" in run("kek", "list", env={"LORAJS_DATA": str(made)}).stdout
    # the flag goes before it
    assert "ns" in run("kek", "list", "--data", made, env={"LORAJS_DATA": "/nonexistent"}).stdout


def test_a_database_without_its_key(run, made):
    (made / "master.key").rename(made / "elsewhere")
    for words in (["kek", "list"], ["kek", "add", "as"], ["device", "import", "-"]):
        done = run(*words, "--data", made, input=KEK, code=FAILED)
        assert "no master.key" in done.stderr and "put the key back" in done.stderr
    assert not (made / "master.key").exists()
    (made / "elsewhere").rename(made / "master.key")
    assert "ns" in run("kek", "list", "--data", made).stdout


def test_a_key_without_its_database(run, made):
    for p in made.glob("lorajs.db*"):
        p.unlink()
    for words in (["kek", "list"], ["kek", "add", "as"]):
        assert "no lorajs.db" in run(*words, "--data", made, input=KEK, code=FAILED).stderr
    assert [p.name for p in made.iterdir()] == ["master.key"]


def test_an_emptied_database(run, made):
    """It would pass for a new one, and JoinNonces would begin again."""
    for p in made.glob("lorajs.db-*"):
        p.unlink()
    (made / "lorajs.db").write_bytes(b"")
    assert "is empty" in run("kek", "add", "as", "--data", made, input=KEK, code=FAILED).stderr
    assert (made / "lorajs.db").read_bytes() == b""


@pytest.mark.parametrize("bits", [0o640, 0o604, 0o620, 0o660, 0o666, 0o610])
def test_a_key_that_others_may_use(run, made, bits):
    (made / "master.key").chmod(bits)
    done = run("kek", "list", "--data", made, code=FAILED)
    assert "others than its owner" in done.stderr and "chmod 600" in done.stderr
    (made / "master.key").chmod(0o400)
    run("kek", "list", "--data", made)


@pytest.mark.parametrize("text", [b"", b"00", b"0" * 64, b"0" * 65, b"0" * 63 + b"\n", b"0" * 65 + b"\n",
                                  b"z" * 64 + b"\n", b"0" * 64 + b"\n\n", b"0" * 64 + b"\r\n", pytest.param(os.urandom(65), id="noise")])
def test_a_key_of_wrong_form(run, made, text):
    (made / "master.key").write_bytes(text)
    done = run("kek", "list", "--data", made, code=FAILED)
    assert "64 hexadecimal digits" in done.stderr
    assert (made / "master.key").read_bytes() == text


def test_another_key_than_the_databases(run, made):
    (made / "master.key").write_text(os.urandom(32).hex() + "\n")
    done = run("kek", "list", "--data", made, code=FAILED)
    assert "SEAL" in done.stderr and "master key" in done.stderr


def test_a_key_that_is_no_file(run, made):
    (made / "master.key").unlink()
    (made / "master.key").mkdir(mode=0o700)
    assert "plain file" in run("kek", "list", "--data", made, code=FAILED).stderr


def test_a_directory_where_everybody_writes(run, made):
    made.chmod(0o777)
    assert "chmod 700" in run("kek", "list", "--data", made, code=FAILED).stderr
    made.chmod(0o755)
    run("kek", "list", "--data", made)


def test_what_is_no_directory_or_no_database(run, tmp_path, made):
    file = tmp_path / "file"
    file.write_text("")
    assert str(file) in run("kek", "list", "--data", file, code=FAILED).stderr
    for p in made.glob("lorajs.db-*"):
        p.unlink()
    (made / "lorajs.db").write_bytes(b"this is no database, but it is long enough to be taken for one" * 100)
    done = run("kek", "list", "--data", made, code=FAILED)
    assert "lorajs.db" in done.stderr


def test_a_crash_before_the_database_was_made(run, data):
    """Step 1 is done: the key is in master.key.new.  Nothing hangs on it, so it is made anew."""
    data.mkdir(mode=0o700)
    old = os.urandom(32).hex() + "\n"
    (data / "master.key.new").write_text(old)
    (data / "master.key.new").chmod(0o600)
    assert "no database yet" in run("kek", "list", "--data", data, code=FAILED).stderr
    run("kek", "add", "ns", "--data", data, input=KEK)
    assert not (data / "master.key.new").exists() and (data / "master.key").read_text() != old
    assert "ns" in run("kek", "list", "--data", data).stdout


@pytest.mark.parametrize("words", [["kek", "list"], ["kek", "add", "as"]])
def test_a_crash_before_the_key_got_its_name(run, made, words):
    """Step 2 is done: the database belongs to master.key.new, and step 3 is made up for."""
    text = (made / "master.key").read_text()
    (made / "master.key").rename(made / "master.key.new")
    run(*words, "--data", made, input=KEK)
    assert (made / "master.key").read_text() == text and not (made / "master.key.new").exists()
    assert "ns" in run("kek", "list", "--data", made).stdout


def test_many_begin_at_once(run, data):
    """They end with one key, and everything that any of them did is there."""
    results: list[subprocess.CompletedProcess] = []
    gate = threading.Barrier(8)

    def begin(n: int) -> None:
        gate.wait()
        results.append(run("kek", "add", f"label{n}", "--data", data, input=KEK, code=None))

    threads = [threading.Thread(target=begin, args=(n,)) for n in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert [r.returncode for r in results] == [DONE] * 8, [r.stderr for r in results]
    labels = run("kek", "list", "--data", data).stdout
    assert all(f"label{n}" in labels for n in range(8)) and not (data / "master.key.new").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_that_cannot_be_made(run, tmp_path):
    tmp_path.chmod(0o500)
    assert "cannot make" in run("kek", "add", "ns", "--data", tmp_path / "x", input=KEK, code=FAILED).stderr
