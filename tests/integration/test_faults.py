"""What the world does to a Join Server: full and read-only disks, damage, databases of a newer
version, files that are not what they should be.  Each has the answer that docs/configuration.md
tells, and nothing that was answered is lost."""

from __future__ import annotations

import os
import pathlib
import resource
import shutil
import signal
import sqlite3
import subprocess

import pytest
from conftest import FAILED, PATIENCE, ROOT, Server
from joins import Device, devices, result
from test_serve import connect, get, import_devices, metrics_url, read_answer, request, wait_until

CLEAR = "--allow-clear-keys"


def table() -> dict[str, str]:
    """The section of the document: what happens, and the answer."""
    text = (ROOT / "docs/configuration.md").read_text().split("## When something is wrong\n")[1].split("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return {row[0]: " | ".join(row[1:]) for row in rows[1:]}


def is_told(what: str, *answers: str) -> None:
    """That the document knows of this, and names these answers."""
    row = next((answer for name, answer in table().items() if what in name), None)
    assert row is not None and all(answer in row for answer in answers), (what, answers, row)


def session(answer: dict) -> str:
    assert result(answer) == "Success", answer
    return answer["SessionKeyID"]


def limit_files(server: Server, octets: int) -> None:
    """The largest file that the server may write, from now on: a disk that is full."""
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (octets, resource.RLIM_INFINITY))


def test_a_full_disk(run, serve, data):
    is_told("full", "`Other`", "nothing is lost")
    many = devices(40)
    server = serve(CLEAR, "--metrics", "127.0.0.1:0")
    import_devices(run, data, many)
    before = {d.dev_eui: (message := d.join(), session(server.ask(message))) for d in many[:5]}
    limit_files(server, 4096)
    answers = {d.dev_eui: (message := d.join(), server.ask(message)) for d in many[5:]}
    for _, answer in answers.values():
        assert result(answer) == "Other" and "AppSKey" not in answer and "PHYPayload" not in answer
    assert "STORE" in server.stderr() and server.process.poll() is None
    # what was answered is there, also while nothing can be written, and after a kill
    assert all(session(server.ask(message)) == was for message, was in before.values())
    limit_files(server, resource.RLIM_INFINITY)
    after = {eui: (message, session(server.ask(message))) for eui, (message, _) in answers.items()}
    server.kill()
    again = serve(CLEAR)
    assert all(session(again.ask(message)) == was for message, was in before.values())
    assert all(session(again.ask(message)) == was for message, was in after.values())


@pytest.fixture
def as_nobody(program, tmp_path, data):
    """The program as somebody whom modes of files concern, should we be root."""
    if os.geteuid():
        return program
    if not shutil.which("setpriv"):
        pytest.skip("root may write everything, and there is no setpriv")
    for folder in [tmp_path, *tmp_path.parents]:
        if not folder.stat().st_mode & 1:
            folder.chmod(folder.stat().st_mode | 0o011)
    data.mkdir(mode=0o700)
    os.chown(data, 65534, 65534)
    wrapper = tmp_path / "lorajs-as-nobody"
    wrapper.write_text(f'#!/bin/sh\nexec setpriv --reuid=65534 --regid=65534 --clear-groups "{program}" "$@"\n')
    wrapper.chmod(0o755)
    if subprocess.run([wrapper, "version"], capture_output=True).returncode:
        pytest.skip("nobody cannot run the program where it is")
    return str(wrapper)


def test_a_read_only_database(as_nobody, data):
    is_told("read-only", "`Other`")
    device = Device(1)
    imported = subprocess.run([as_nobody, "device", "import", "-", "--data", str(data)], input=device.line().encode())
    assert imported.returncode == 0
    server = Server(as_nobody, data, CLEAR)
    try:
        message = device.join()
        was = session(server.ask(message))
        assert server.stop() == 0
        (data / "lorajs.db").chmod(0o400)
        server = Server(as_nobody, data, CLEAR)
        assert "cannot be written" in server.stderr()
        assert session(server.ask(message)) == was
        assert result(server.ask(late := device.join())) == "Other"
        listed = subprocess.run([as_nobody, "device", "list", "--data", str(data)], capture_output=True)
        assert listed.returncode == 0 and b"0000000000000001" in listed.stdout
        changed = subprocess.run([as_nobody, "device", "block", "1".zfill(16), "--data", str(data)], capture_output=True)
        assert changed.returncode == FAILED and b"read-only" in changed.stderr
        tried = subprocess.run([*changed.args, "--dry-run"], capture_output=True)
        assert tried.returncode == FAILED and b"cannot be written" in tried.stderr
        assert server.stop() == 0
        for path in data.glob("lorajs.db*"): # those beside it were made like it
            path.chmod(0o600)
        server = Server(as_nobody, data, CLEAR)
        assert result(server.ask(late)) == "Success"
    finally:
        server.kill()


def test_a_corrupt_database(run, serve, data, tmp_path):
    is_told("damaged", "`Other`", "503")
    many = devices(50)
    server = serve(CLEAR, "--metrics", "127.0.0.1:0")
    import_devices(run, data, many)
    messages = [d.join() for d in many]
    was = [session(server.ask(m)) for m in messages]
    subprocess.run(["sqlite3", data / "lorajs.db", f".backup '{tmp_path / 'backup.db'}'"], check=True)
    # the index of the log last: from a log that is still good the server would make another, and may have read enough
    for path in sorted(data.glob("lorajs.db*"), key=lambda path: path.name.endswith("-shm")):
        with open(path, "r+b") as file:
            file.write(os.urandom(path.stat().st_size))
    assert {result(server.ask(d.join())) for d in many[:5]} == {"Other"}
    assert get(metrics_url(server) + "/readyz") == (503, "store\n") and server.stop() == 0
    for words in ["device", "list"], ["why", f"{many[0].dev_eui:016x}"], ["serve", "--listen", "127.0.0.1:0"]:
        done = run(*words, "--data", data, code=FAILED)
        assert "damaged database" in done.stderr and not done.stdout
    for path in data.glob("lorajs.db*"):
        path.unlink()
    shutil.copy(tmp_path / "backup.db", data / "lorajs.db")
    again = serve(CLEAR)
    assert [session(again.ask(m)) for m in messages] == was


def change(data: pathlib.Path, device: Device, how) -> None:
    with sqlite3.connect(data / "lorajs.db") as db:
        row, value = next((i, v) for i, k, v in db.execute("SELECT id, key, value FROM kv")
                          if k == b"d" + device.dev_eui.to_bytes(8, "big"))
        value = bytearray(value)
        how(value)
        db.execute("UPDATE kv SET value = ? WHERE id = ?", (bytes(value), row))
    db.close()


def test_records_of_a_newer_version_and_of_another_hand(run, serve, data):
    is_told("newer", "`Other`")
    newer, tampered, good = many = devices(3)
    server = serve(CLEAR)
    import_devices(run, data, many)

    def schema(record: bytearray) -> None:  # a map whose first member is 0: 3
        assert record[1:3] == b"\x00\x03"
        record[2] = 5  # 4 is that of a device that has moved

    def tag(record: bytearray) -> None:
        record[-1] ^= 1

    change(data, newer, schema)
    change(data, tampered, tag)
    for device, name, says in (newer, "VERSION", "newer lorajs"), (tampered, "SEAL", "tampered"):
        assert result(server.ask(device.join())) == "Other"
        assert f"error {name} JoinReq dev_eui={device.dev_eui:016x}" in server.stderr()
        for words in ["device", "show"], ["device", "remove"], ["why"]:
            assert says in run(*words, f"{device.dev_eui:016x}", "--data", data, code=FAILED).stderr
    assert result(server.ask(good.join())) == "Success"
    listed = run("device", "list", "--data", data, code=FAILED)
    assert f"{good.dev_eui:016x}" in listed.stdout and "newer lorajs" in listed.stderr

    def back(record: bytearray) -> None:
        record[2] = 3

    change(data, newer, back)
    assert result(server.ask(newer.join())) == "Success"


def test_a_database_of_a_newer_version(run, serve, data):
    serve(CLEAR).stop()
    with sqlite3.connect(data / "lorajs.db") as db:
        db.execute("PRAGMA user_version = 2")
    db.close()
    for words in ["device", "list"], ["serve", "--listen", "127.0.0.1:0"]:
        assert "newer lorajs" in run(*words, "--data", data, code=FAILED).stderr


def test_a_database_put_in_the_place_of_another(run, serve, data, tmp_path):
    """While the daemon runs: what it answered would be gone with the old file."""
    is_told("replaced", "`Other`")
    device = Device(1)
    server = serve(CLEAR)
    import_devices(run, data, [device])
    assert result(server.ask(device.join())) == "Success"
    subprocess.run(["sqlite3", data / "lorajs.db", f".backup '{tmp_path / 'copy'}'"], check=True)
    for path in data.glob("lorajs.db*"):
        path.unlink()
    shutil.copy(tmp_path / "copy", data / "lorajs.db")
    late = device.join()
    assert result(server.ask(late)) == "Other" and server.stop() == 0
    assert result(serve(CLEAR).ask(late)) == "Success"


def is_stopped(pid: int) -> bool:
    """Each thread of it."""
    stats = pathlib.Path(f"/proc/{pid}/task").glob("*/stat")
    return all(stat.read_text().rpartition(")")[2].split()[0] == "T" for stat in stats)


def test_a_stopped_process_loses_nothing(run, serve, data):
    device = Device(1)
    server = serve(CLEAR)
    import_devices(run, data, [device])
    server.process.send_signal(signal.SIGSTOP)
    wait_until(lambda: is_stopped(server.process.pid))  # else it could yet begin a commit, and hold the database
    with connect(server) as sock:
        sock.sendall(request(device.join()))
        import_devices(run, data, devices(3))  # nobody else waits for it
        server.process.send_signal(signal.SIGCONT)
        assert result(read_answer(sock)[2]) == "Success"


def test_a_pipe_for_a_master_key(run, serve, data):
    serve().stop()
    (data / "master.key").unlink()
    os.mkfifo(data / "master.key", 0o600)
    assert "no plain file" in run("device", "list", "--data", data, code=FAILED).stderr


@pytest.mark.parametrize("headers", [
    ("Content-Length: 3", "Content-Length: 5"),
    ("Content-Length: 3", "Transfer-Encoding: chunked"),
    ("Transfer-Encoding: gzip",),
    ("Transfer-Encoding: gzip, chunked",),
    ("Transfer-Encoding: chunked", "Transfer-Encoding: identity"),
], ids=lambda headers: ", ".join(headers))
def test_a_message_whose_end_is_told_in_two_ways(server, headers):
    """A proxy in front of us may have believed the other: nothing after it is a request."""
    with connect(server) as sock:
        sock.sendall("\r\n".join(["POST / HTTP/1.1", "Host: js", *headers]).encode() + b"\r\n\r\n"
                     + b"3\r\n{}\n\r\n0\r\n\r\n" + request("{}"))
        status, told, _ = read_answer(sock)
        assert status == 400 and told["connection"] == "close"
        sock.settimeout(PATIENCE)
        try:
            assert sock.recv(65536) == b""
        except ConnectionResetError:
            pass


def test_what_else_is_told():
    """Shown elsewhere; here only that the document has it."""
    is_told("forged", "`MICFailed`")
    is_told("nonce", "`FrameReplayed`", "`JoinReqFailed`")
    is_told("peer", "`UnknownSender`")
    is_told("cut off", "no answer")
    is_told("too long", "413")
    is_told("slow", "closed")
