"""What `lorajs doctor` sees: each fault is made for real, and found under its own name; and what
no process of ours leaves behind when it dies."""

from __future__ import annotations

import ctypes
import datetime
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import sqlite3
import subprocess
import time

import pytest

from conftest import REFUSED, device_line
from test_serve_tls import DAY, Pki, peer, pin, tls_lines

KEK = "1f6c2a9d3be84705c1d2e3f4a5b6978a"
EUIS = [0x0102030405060708, 0x1112131415161718, 0x2122232425262728]


@pytest.fixture
def made(run, data):
    """A data directory with three devices and a KEK."""
    run("kek", "add", "ns", "--data", data, input=KEK)
    run("device", "import", "-", "--data", data, input="\n".join(device_line(e, ns_kek_label="ns") for e in EUIS))
    return data


@pytest.fixture
def doctor(run, made):
    """doctor("--config", FILE, code=0): the findings, as (check, verdict, text with its remedy)."""

    def visit(*flags, code=0, data=made, **more):
        done = run("doctor", "--data", data, "--json", *flags, code=code, **more)
        *lines, total = map(json.loads, done.stdout.splitlines())
        assert done.stderr == ""
        found = {v: sum(line["verdict"] == v for line in lines) for v in ("ok", "warning", "error")}
        assert total == {"ok": found["ok"], "warnings": found["warning"], "errors": found["error"]}
        assert (code == REFUSED) == (found["error"] > 0 or ("--strict" in flags and found["warning"] > 0))
        for line in lines:
            assert set(line) == {"check", "verdict", "text", "remedy"}
            assert line["verdict"] == "ok" or line["remedy"] or line["check"] in ("directory", "master key", "database")
        return [(line["check"], line["verdict"], f"{line['text']}; {line['remedy']}") for line in lines]

    return visit


def said(found, check: str, verdict: str) -> str:
    return "\n".join(text for c, v, text in found if (c, v) == (check, verdict))


def test_nothing_is_wrong(doctor, run, made):
    found = doctor()
    assert not [f for f in found if f[1] == "error"]
    assert {c for c, _, _ in found} == {"memory", "core dumps", "swap", "clock", "directory", "master key", "database",
                                        "keks", "records", "marker"}
    assert "3 devices" in said(found, "records", "ok") and "1 KEKs" in said(found, "keks", "ok")
    assert "beside the database" in said(found, "master key", "warning")
    doctor("--strict", code=REFUSED)
    text = run("doctor", "--data", made).stdout
    assert text.splitlines()[-1].endswith("0 errors") and "warning  master key" in text


def test_it_changes_nothing(doctor, made):
    def rows():
        with sqlite3.connect(made / "lorajs.db") as db:
            return db.execute("SELECT key, version, value FROM kv ORDER BY key").fetchall()

    before, files = rows(), {p.name: p.stat().st_mode for p in made.iterdir() if not p.name.endswith(("-wal", "-shm"))}
    doctor()
    assert rows() == before
    assert files == {p.name: p.stat().st_mode for p in made.iterdir() if not p.name.endswith(("-wal", "-shm"))}


def test_there_is_nothing(doctor, tmp_path):
    found = doctor(data=tmp_path / "none", code=REFUSED)
    assert "no data directory" in said(found, "directory", "error") and not (tmp_path / "none").exists()
    (tmp_path / "empty").mkdir(mode=0o700)
    assert "no database yet" in said(doctor(data=tmp_path / "empty", code=REFUSED), "master key", "error")
    assert not list((tmp_path / "empty").iterdir())


def test_modes(doctor, made):
    made.chmod(0o755)
    assert "mode 0755" in said(doctor(), "directory", "warning")
    (made / "lorajs.db").chmod(0o644)
    found = doctor(code=REFUSED)
    assert "lorajs.db may be used by others" in said(found, "directory", "error")
    (made / "lorajs.db").chmod(0o600)
    (made / "master.key").chmod(0o640)
    found = doctor(code=REFUSED)
    assert "master.key may be used" in said(found, "directory", "error")
    assert "others than its owner" in said(found, "master key", "error")
    made.chmod(0o777)
    assert "chmod 700" in said(doctor(code=REFUSED), "directory", "error")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_owners(doctor, made):
    os.chown(made / "lorajs.db", 65534, 65534)
    assert "lorajs.db is of" in said(doctor(code=REFUSED), "directory", "error")
    for path in [made, *made.iterdir()]:
        os.chown(path, 65534, 65534)
    found = doctor()
    assert "and this is root" in said(found, "directory", "warning")


def corrupt(data: pathlib.Path, key: bytes) -> None:
    db = sqlite3.connect(data / "lorajs.db")
    with db:
        [(value,)] = db.execute("SELECT value FROM kv WHERE key = ?", (key,))
        db.execute("UPDATE kv SET value = ? WHERE key = ?", (value[:9] + bytes([value[9] ^ 4]) + value[10:], key))
    db.close()


def test_records_that_somebody_changed(doctor, made):
    for eui in EUIS[1:]:
        corrupt(made, b"d" + eui.to_bytes(8, "big"))
    text = said(doctor(code=REFUSED), "records", "error")
    assert "2 of 3 records" in text and f"{EUIS[1]:016x} first" in text


def test_a_kek_that_somebody_changed(doctor, made):
    corrupt(made, b"kns")
    assert "KEKs cannot be read" in said(doctor(code=REFUSED), "keks", "error")


def test_a_kek_that_is_missing(doctor, run, made):
    run("kek", "remove", "ns", "--data", made)
    assert f"3 devices name a KEK that is not there, {EUIS[0]:016x} first" in said(doctor(), "records", "warning")


def test_another_master_key(doctor, made):
    (made / "master.key").write_text(os.urandom(32).hex() + "\n")
    assert "SEAL" in said(doctor(code=REFUSED), "database", "error")


def test_a_database_that_is_none(doctor, made):
    for path in made.glob("lorajs.db-*"):
        path.unlink()
    (made / "lorajs.db").write_bytes(b"no database" * 1000)
    assert said(doctor(code=REFUSED), "database", "error")


def test_a_newer_database(doctor, made):
    db = sqlite3.connect(made / "lorajs.db")
    version = db.execute("PRAGMA user_version").fetchone()[0]
    db.execute(f"PRAGMA user_version = {version + 1}")
    db.commit()
    db.close()
    assert "VERSION" in said(doctor(code=REFUSED), "database", "error")


def test_who_keeps_the_key(doctor, run, made, tmp_path):
    words = tmp_path / "words"
    words.write_text("orbit velvet canyon magnet")
    words.chmod(0o600)
    run("master", "move", "--data", made, "--to", f"passphrase:file:{words}", "--stretch-memory", 8)
    assert "under a passphrase" in said(doctor("--master-key", f"passphrase:file:{words}"), "master key", "ok")
    words.write_text("some other passphrase")
    found = doctor("--master-key", f"passphrase:file:{words}", code=REFUSED)
    assert "not its passphrase" in said(found, "master key", "error") and not said(found, "database", "ok")


def test_a_full_disk(doctor, made, tmp_path):
    place = tmp_path / "small"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m,mode=700", "tmpfs", place], capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        for path in made.iterdir():
            shutil.copy2(path, place)
        found = doctor(data=place, code=REFUSED)
        assert "MiB are free" in said(found, "directory", "error") and "tmpfs" in said(found, "directory", "warning")
    finally:
        subprocess.run(["umount", place], check=True)


# ---- the configuration ------------------------------------------------------------


@pytest.fixture
def config(tmp_path, made):
    def write(text: str) -> pathlib.Path:
        path = tmp_path / "lorajs.conf"
        path.write_text(f'data = "{made}"\n{text}')
        return path

    return write


def test_a_good_configuration(doctor, run, config, made, tmp_path):
    pki = Pki(tmp_path)
    server = pki.more("long", ends=365 * DAY)
    ca = pki.more("longca", ends=365 * DAY, ca=True)
    server.key_pem.chmod(0o600)
    path = config(tls_lines(pki, server, ca) + f'peer "acme" {{ {pin(pki.pinned)} net-ids = {{ "000013" }} keks = {{ "ns" }} }}\n')
    found = doctor("--config", path)
    assert "wrapped only" in said(found, "peers", "ok")
    assert said(found, "certificates", "ok").count("good until") == 2
    # and the configuration says where the data are
    assert "3 devices" in run("doctor", "--config", path, env={"LORAJS_DATA": "/nonexistent"}).stdout


def test_what_a_configuration_allows(doctor, config, tmp_path):
    pki = Pki(tmp_path)
    old = pki.more("old", ends=-DAY)
    old.key_pem.chmod(0o644)
    found = doctor("--config", config(
        tls_lines(pki, old) + "dumpable = true\ninsecure = true\nallow-clear-keys = true\nmetrics-insecure = true\n"
        + peer("acme", pin(pki.pinned) + ' keks = { "none" }')), code=REFUSED)
    assert "allows core dumps" in said(found, "core dumps", "error")
    assert all(w in said(found, "configuration", "warning") for w in ("insecure", "metrics-insecure", "allow-clear-keys"))
    assert "clear-ns" in said(found, "peers", "warning") and "clear-as" in said(found, "peers", "warning")
    assert 'no KEK "none"' in said(found, "peers", "error")
    text = said(found, "certificates", "error")
    assert "has expired" in text and "tls-key" in text and "mode 0644" in text
    assert "expires soon" in said(found, "certificates", "warning"), "the authority ends tomorrow"


def test_where_the_anchor_is(doctor, config, made, tmp_path):
    for line, what in (("audit = no", "no audit log is kept"), ("", "cut off the end"),
                       (f'audit-anchor = "{made / "anchor"}"', "beside the database")):
        assert what in said(doctor("--config", config(line + "\n")), "audit", "warning")
    assert not said(doctor("--config", config(f'audit-anchor = "{tmp_path / "anchor"}"\n')), "audit", "warning")


def test_markers(doctor, run, config, made, tmp_path):
    marker = tmp_path / "marker"
    none, marked = 'plain-peer = "acme"\npeer "acme" { net-ids = { "000013" } }\n', f'marker = "{marker}"\n'
    assert "would give JoinNonces twice" in said(doctor("--config", config(none)), "marker", "warning")
    backup = tmp_path / "backup"
    run("backup", "--data", made, "--to", backup)
    run("restore", "--data", made, "--from", backup, "--replace", "--marker", marker)
    assert "generation 4096" in said(doctor("--config", config(none + marked)), "marker", "ok")
    assert "does not start" in said(doctor("--config", config(none)), "marker", "warning")
    assert "give --config" in said(doctor(), "marker", "ok")
    marker.unlink()
    assert "is not there" in said(doctor("--config", config(none + marked), code=REFUSED), "marker", "error")


def test_peers_without_tls(doctor, config):
    assert "plain-peer" in said(doctor("--config", config('plain-peer = "acme"\npeer "acme" { net-ids = { "000013" } }\n')),
                                "configuration", "warning")
    assert "no peer" in said(doctor("--config", config("")), "peers", "warning")


def test_a_configuration_that_is_none(doctor, config, tmp_path):
    found = doctor("--config", config("listen = {"), code=REFUSED)
    assert "lorajs.conf:" in said(found, "configuration", "error")
    assert "3 devices" in said(found, "records", "ok"), "the rest is looked at nevertheless"
    assert said(doctor("--config", tmp_path / "none.conf", code=REFUSED), "configuration", "error")


# ---- the process --------------------------------------------------------------------

PR_CAPBSET_DROP, CAP_IPC_LOCK, ONE_PAGE = 24, 14, 4096


def little_memory() -> None:
    """As an ordinary user with a small limit has it."""
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (16 * ONE_PAGE, 16 * ONE_PAGE))
    if os.geteuid() == 0:
        ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_IPC_LOCK, 0, 0, 0)


def test_too_little_locked_memory(doctor, program, made):
    if re.search(rb"__[at]san_init", pathlib.Path(program).read_bytes()):
        pytest.skip("sanitizers lock no memory")
    found = doctor(code=REFUSED, preexec_fn=little_memory)
    assert "limit is 64 KiB" in said(found, "memory", "error") and "LimitMEMLOCK" in said(found, "memory", "error")
    server = subprocess.Popen([program, "serve", "--data", str(made), "--listen", "127.0.0.1:0"], text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=little_memory)
    try:
        assert server.stdout.readline().startswith("listening")
    finally:
        server.terminate()
        _, err = server.communicate()
    assert "less than 1 MiB of memory can be locked" in err and "LimitMEMLOCK=64M" in err


def unlimited_cores() -> None:
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)  # what is begun in the background by a script ignores it
    resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def dumps_core(command: list[str], where: pathlib.Path, ready) -> bool:
    """Does it dump core when it crashes?"""
    where.mkdir()
    process = subprocess.Popen(command, cwd=where, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                               preexec_fn=unlimited_cores)
    ready(process)
    process.send_signal(signal.SIGQUIT)  # sanitizers have their own idea of SIGSEGV
    _, status = os.waitpid(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stdin.close()
    process.stdout.close()
    assert os.WIFSIGNALED(status)
    return os.WCOREDUMP(status) or any(where.iterdir())


def test_no_command_dumps_core(program, made, tmp_path):
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    if hard != resource.RLIM_INFINITY and os.geteuid() != 0:
        pytest.skip("core dumps are forbidden here")

    def limited(process):  # until the program has seen to it
        end = time.monotonic() + 60
        while "Max core file size        0                    0 " not in \
                pathlib.Path(f"/proc/{process.pid}/limits").read_text():
            assert time.monotonic() < end and process.poll() is None
            time.sleep(0.01)

    dumps = dumps_core(["cat"], tmp_path / "control", lambda process: time.sleep(0.3))
    for n, words in enumerate((["kek", "add", "as", "--data", made], ["device", "import", "-", "--data", made],
                               ["inspect", "--keys", "-", "00"], ["serve", "--data", made, "--listen", "127.0.0.1:0"])):
        assert not dumps_core([program, *map(str, words)], tmp_path / f"ours{n}", limited)
    if not dumps:
        pytest.skip("nothing dumps core here, so what was seen proves little")
