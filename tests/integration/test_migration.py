"""Devices move from one lorajs to another while they join, and from any Join Server by its being asked about what is not
here: nobody answers for a device twice, no JoinNonce comes twice, and no device is lost, wherever it is cut short."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import pathlib
import re
import socket
import subprocess
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from conftest import DONE, PATIENCE, REFUSED, USAGE, Server
from joins import Device, result
from test_backup import Radio, fleet, killer, memory, provision  # noqa: F401: fixtures
from test_serve_tls import Certificate, pki  # noqa: F401: a fixture

CLEAR = ("--allow-clear-keys",)


class Move:
    """Two servers, and what is sent from the one to the other."""

    def __init__(self, run, program: str, killer: str, where: pathlib.Path) -> None:
        self.run, self.program, self.killer, self.where = run, program, killer, where
        self.old_data, self.new_data, self.parcel = where / "old", where / "new", where / "fleet.parcel"
        run("key", "pair", "x25519", "--output", where / "receiver")
        run("key", "pair", "ed25519", "--output", where / "sender")
        self.export = ("device", "export", "--data", self.old_data, "--move", "--to", where / "receiver.pub", "--sign",
                       where / "sender", "--output", self.parcel)
        self.receive = ("device", "receive", self.parcel, "--data", self.new_data, "--key", where / "receiver", "--from",
                        where / "sender.pub")

    def send(self, *words: object) -> None:
        self.parcel.unlink(missing_ok=True)
        self.run(*self.export, *words)

    def cut(self, at: int, *args: object, syncs: bool) -> bool:
        """Kill it just before its at-th durable point; was there one?"""
        done = subprocess.run([self.program, *map(str, args)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                              timeout=PATIENCE, env={**os.environ, "LD_PRELOAD": self.killer, "KILL_AT": str(at),
                                                     **({"KILL_SYNCS": "1"} if syncs else {}),
                                                     "ASAN_OPTIONS": "verify_asan_link_order=0:detect_leaks=0"})
        assert done.returncode in (DONE, -9), done.stderr
        return done.returncode != DONE


@pytest.fixture
def move(run, program, killer, memory) -> Move:  # noqa: F811
    return Move(run, program, killer, memory)


@pytest.fixture
def started(program):
    """started(DATA, flags...): a server."""
    with contextlib.ExitStack() as stack:
        def start(data: pathlib.Path, *flags: object, **more) -> Server:
            server = Server(program, data, *CLEAR, *flags, **more)
            stack.callback(server.kill)
            return server

        yield start


def metrics(server: Server) -> str:
    url = (re.search(rb"^metrics on (\S+)", server.stdout, re.M) or server._wait_for(rb"^metrics on (\S+)"))[1].decode()
    return urllib.request.urlopen(f"{url}/metrics").read().decode()


def metric(server: Server, outcome: str) -> int:
    return int(re.search(rf'^lorajs_forwarded_total{{outcome="{outcome}"}} (\d+)$', metrics(server), re.M)[1])


METRICS = ("--metrics", "127.0.0.1:0")


def test_a_fleet_moves_while_it_joins(run, move, started):
    """In batches.  All the time each device joins, through either server, whichever it is with."""
    radios = fleet(8)
    provision(run, move.old_data, radios)
    new = started(move.new_data)
    old = started(move.old_data, "--forward", new.url, *METRICS)
    new_url = new.url
    assert new.stop() == 0
    new = started(move.new_data, "--forward", old.url, *METRICS, listen=new_url.removeprefix("http://"))
    stop, faults = threading.Event(), []

    def joins(radio: Radio, turn: int) -> None:
        while not stop.is_set():
            try:
                answer = (old, new)[(turn := turn + 1) % 2].ask(radio.join())
                if result(answer) != "Other":  # moved, and not there yet: tries again
                    nonce = radio.take(answer)
                    assert nonce > radio.seen
                    radio.seen = nonce
            except BaseException as fault:
                faults.append(fault)
                return

    threads = [threading.Thread(target=joins, args=(radio, i)) for i, radio in enumerate(radios)]
    for thread in threads:
        thread.start()
    try:
        for i in range(0, len(radios), 3):
            batch = radios[i:i + 3]
            wait_until(lambda: faults or all(len(radio.given) > 2 for radio in batch))
            move.send(*[f"{radio.dev_eui:016x}" for radio in batch])
            run(*move.receive)
            have = [len(radio.given) for radio in batch]
            wait_until(lambda: faults or all(len(r.given) > n + 1 for r, n in zip(batch, have)))
    finally:
        stop.set()
        for thread in threads:
            thread.join(PATIENCE)
    assert not faults, faults[0]
    for radio in radios:
        assert sum(result(server.ask({**radio.join(), "TransactionID": 7})) == "Success" for server in (old, new)) == 2
    assert metric(old, "answered") > 0 and metric(new, "answered") > 0
    for data, moved in ((move.old_data, True), (move.new_data, None)):
        listed = [json.loads(line) for line in run("device", "list", "--data", data, "--json").stdout.splitlines()]
        assert len(listed) == len(radios) and all(d.get("moved") is moved for d in listed)
    assert run("audit", "show", "--data", move.old_data, "--kind", "move").stdout.count(" move ") == len(radios)


def wait_until(done) -> None:
    end = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < end, "in vain"
        time.sleep(0.005)


@pytest.mark.parametrize("syncs", [True, pytest.param(False, marks=pytest.mark.long)])
def test_killed_at_each_step(run, move, started, syncs):
    """A device for each durable point of `device export --move` and of `device receive`: each sync and each change of a name, or
    each write as well.  Wherever the two end, one server at most answers; and the same commands once more bring it over."""
    radios = [Radio(0x0102030405060000 + n, ("1.0.3", "1.0.4", "1.1")[n % 3]) for n in range(40 if syncs else 400)]
    provision(run, move.old_data, radios)
    run("device", "import", "-", "--data", move.new_data, input="")
    old, new = started(move.old_data), started(move.new_data)
    killed = {"export": 0, "receive": 0}

    def cut(what: str, point: int, *command: object) -> bool:
        was = move.cut(point, *command, syncs=syncs)
        killed[what] += was
        answers = [server.ask(radio.join()) for server in (old, new)]
        good = [answer for answer in answers if result(answer) == "Success"]
        assert len(good) <= 1, (what, point)
        for answer in good:
            radio.seen = radio.take(answer)
        return was

    for point, radio in enumerate(radios, 1):
        radio.joins(old)
        move.parcel.unlink(missing_ok=True)
        going = cut("export", point, *move.export, f"{radio.dev_eui:016x}")
        if going:
            move.send(f"{radio.dev_eui:016x}")
        going |= cut("receive", point, *move.receive)
        run(*move.receive)
        radio.joins(new)
        assert result(old.ask(radio.join())) == "Other"
        if not going:
            break
    print(killed)
    assert len(radios) > point >= max(killed.values()) and min(killed.values()) >= 2, killed


def test_and_back(run, move, started):
    """What has moved is not sent to a third server by --all, not unblocked by accident, and comes back when told."""
    radios = fleet(2)
    provision(run, move.old_data, radios)
    names = [f"{radio.dev_eui:016x}" for radio in radios]
    old = started(move.old_data)
    radios[0].joins(old)
    move.send(names[0])
    assert "moved to another Join Server" in run("device", "show", names[0], "--data", move.old_data).stdout
    assert "moved" in run("device", "unblock", names[0], "--data", move.old_data, code=REFUSED).stderr
    assert "its state" in run("device", "move-back", names[1], "--data", move.old_data, code=REFUSED).stderr
    move.send("--all")
    run(*move.receive)
    listed = [json.loads(line) for line in run("device", "list", "--data", move.new_data, "--json").stdout.splitlines()]
    assert [d["dev_eui"] for d in listed] == names[1:]
    move.send("--all", "--again")
    run(*move.receive)
    assert run(*move.export[:2], "--again", names[0], code=USAGE)
    new = started(move.new_data)
    for radio in radios:
        radio.joins(new)
    move.parcel.unlink()
    run("device", "export", "--data", move.new_data, "--move", "--all", *move.export[5:])
    run("device", "receive", move.parcel, "--data", move.old_data, *move.receive[5:])
    assert result(old.ask(radios[0].join())) == result(new.ask(radios[1].join())) == "Other"
    run("device", "move-back", *names, "--data", move.old_data)
    for radio in radios:
        radio.joins(old)
    told = run("why", names[0], "--data", move.new_data).stdout
    assert "moved to another Join Server" in told


def test_not_under_a_rekey(run, move):
    """Whoever had the device next would know one of its two sets of keys, so it stays: nothing is marked, and the others
    of the fleet go."""
    radios = fleet(4)
    provision(run, move.old_data, radios)
    names = [f"{radio.dev_eui:016x}" for radio in radios]
    line = {"dev_eui": names[0], "join_eui": "70b3d57ed0000000", "lorawan_version": "1.0.4", "nwk_key": "1b" * 8 + "2c" * 8,
            "rekey_key": "1d" * 8 + "2e" * 8}
    run("device", "import", "-", "--data", move.old_data, "--replace-keys", input=json.dumps(line))

    def listed() -> list[dict]:
        return [json.loads(line) for line in run("device", "list", "--data", move.old_data, "--json").stdout.splitlines()]

    for transfer in (False, True):
        words = ("--join-eui", "fe00000000000001", "--transfer") if transfer else ()
        run("rekey", "start", "--data", move.old_data, "--experimental", "--force", *words, names[0])
        before = listed()
        said = run(*move.export, *names, code=REFUSED).stderr
        assert names[0] in said and ("transfer out" if transfer else "pending") in said and "lorajs-rekey(1)" in said
        assert listed() == before and not move.parcel.exists()
        clear = ("export", "--data", move.old_data, "--format", "lorajs", "--clear-keys", "--output", move.where / "clear")
        assert names[0] in run(*clear, names[0], code=REFUSED).stderr and listed() == before
        if not transfer:
            run("rekey", "abort", "--data", move.old_data, "--force", names[0])
    done = run(*move.export, "--json", "--all")
    assert json.loads(done.stdout) == {"exported": 3, "left_out": 1, "blocked": True, "moved": True, "dry_run": False}
    assert names[0] in done.stderr and "1 devices were left out" in done.stderr
    assert [d["dev_eui"] for d in listed() if not d.get("moved")] == names[:1]
    assert "moved" in run("rekey", "start", "--data", move.old_data, "--experimental", names[1], code=REFUSED).stderr


# ---- any other Join Server -----------------------------------------------------------------------


class Other:
    """A Join Server that is not ours, and says what it is told to."""

    def __init__(self) -> None:
        self.says = lambda message: b""
        self.heard: list[tuple[bytes, dict]] = []
        other = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                other.heard.append((body, dict(self.headers)))
                answer = other.says(json.loads(body))
                status, answer = answer if isinstance(answer, tuple) else (200, answer)
                self.send_response(status)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *args: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}/js"
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()


@pytest.fixture
def other():
    there = Other()
    yield there
    there.http.shutdown()
    there.http.server_close()


def accept(message: dict, **members: object) -> bytes:
    kind = message["MessageType"].replace("Req", "Ans")
    return json.dumps({"ProtocolVersion": message["ProtocolVersion"], "SenderID": message["ReceiverID"],
                       "ReceiverID": message["SenderID"], "TransactionID": message["TransactionID"],
                       "MessageType": kind, "Result": {"ResultCode": "Success"}, "PHYPayload": "20" + 16 * "5a",
                       "SessionKeyID": "a1", "Lifetime": 0, "VSExtension": {"Object": {"x": [1, "\u00e9"]}},
                       "NwkSKey": {"KEKLabel": "k", "AESKey": "00" * 24},
                       "AppSKey": {"KEKLabel": "", "AESKey": "00" * 16}, **members}).encode()


STRANGER = Device(0x0A0B0C0D0E0F0000)


def test_what_is_not_here(run, data, started, other):
    """To and fro, octet by octet; but never what is here, and never from whom we refuse."""
    device = Device(0x0102030405060000)
    run("device", "import", "-", "--data", data, input=device.line())
    server = started(data, "--forward", other.url, *METRICS)
    other.says = accept
    assert result(server.ask(device.join())) == "Success" and not other.heard
    request = json.dumps(STRANGER.join(transaction=9, VSExtension={"Object": {}}), indent=3).encode()
    assert server.post(request) == (200, accept(json.loads(request)))
    body, headers = other.heard.pop()
    assert body == request and headers["Lorajs-Forwarded"] == "1" and "json" in headers["Content-Type"]
    app_s_key = {**STRANGER.join(), "MessageType": "AppSKeyReq", "SessionKeyID": "0b" * 16, "SenderID": "as.example"}
    home = {**STRANGER.join(), "MessageType": "HomeNSReq"}
    for asked in (app_s_key, home, {**app_s_key, "DevEUI": f"{device.dev_eui:016x}"}):
        other.says = lambda message: accept(message, HNetID="000013", DevEUI=message["DevEUI"], SessionKeyID="0b" * 16)
        status, answer = server.post(asked)
        if asked is home or asked is app_s_key:
            assert status == 200 and answer == other.says(asked)
    other.heard.clear()
    # identifiers may be written in another way: upper case as The Things Stack, with 0x
    other.says = lambda message: accept(message, SenderID="0x" + message["ReceiverID"].upper(),
                                        ReceiverID=message["SenderID"].upper())
    assert result(server.ask(STRANGER.join("00001f"))) == "Success"
    for refusal in ("MICFailed", "UnknownDevEUI", "MalformedRequest"):  # its word, not ours
        other.says = lambda message: accept(message, Result={"ResultCode": refusal, "Description": "so"})
        assert server.ask(STRANGER.join())["Result"] == {"ResultCode": refusal, "Description": "so"}
    other.heard.clear()
    assert result(server.ask(device.join(frame=device.frame(3)[:-1] + b"x"))) == "MICFailed"
    assert server.post("{}")[0] in (200, 400) and not other.heard
    # what came by forwarding is not forwarded: two servers that ask each other stop here
    assert result(json.loads(server.post(STRANGER.join(), headers={"Lorajs-Forwarded": "1"})[1])) == "UnknownDevEUI"
    assert not other.heard and metric(server, "answered") >= 5
    # nobody was refused here but by that, and by the MIC: what went on is counted as that alone
    refused = re.findall(r'^lorajs_requests_total\{type="(\w+)",result="(\w+)"\} (\d+)$', metrics(server), re.M)
    assert [r for r in refused if r[1] in ("DEVICE", "SESSION", "MOVED")] == [("JoinReq", "DEVICE", "1")]
    assert server.stop() == 0
    told = [json.loads(line) for line in run("audit", "show", "--data", data, "--kind", "refused", "--json").stdout.splitlines()]
    assert sum(t["count"] for t in told if t["result"] == "DEVICE") == 1, told


@pytest.mark.parametrize("says, outcome", [
    (lambda m: b"", "nonsense"), (lambda m: b"{", "nonsense"), (lambda m: b"<html>", "nonsense"),
    (lambda m: accept(m, TransactionID=m["TransactionID"] + 1), "nonsense"),
    (lambda m: accept(m, MessageType="RejoinAns"), "nonsense"), (lambda m: accept(m, MessageType="JoinReq"), "nonsense"),
    # what was asked by somebody else, or of another server
    (lambda m: accept(m, SenderID="70b3d57ed0000001"), "nonsense"), (lambda m: accept(m, ReceiverID="000024"), "nonsense"),
    (lambda m: accept(m, ReceiverID=""), "nonsense"),
    (lambda m: accept(m, Result=None), "nonsense"), (lambda m: (500, accept(m)), "nonsense"),
    (lambda m: (302, accept(m)), "nonsense"), (lambda m: accept(m, VSExtension={"Object": "x" * 70000}), "unreachable"),
    (lambda m: time.sleep(1.5) or b"", "timeout"),
])
def test_answers_that_are_none(run, data, started, other, says, outcome):
    server = started(data, "--forward", other.url, "--forward-timeout", 1, *METRICS)
    other.says = says
    answer = server.ask(STRANGER.join(transaction=77))
    assert result(answer) == "Other" and answer["TransactionID"] == 77 and answer["MessageType"] == "JoinAns"
    assert "may know the device" in answer["Result"]["Description"]
    assert not any("Key" in name for name in answer), answer
    assert metric(server, outcome) == 1 and metric(server, "answered") == 0
    assert outcome in server.stderr()


def test_a_dead_server_holds_up_nobody_else(run, data, started):
    """Its port is open and nothing answers: whoever asks about its devices waits, and is told; all others join."""
    device = Device(0x0102030405060000)
    run("device", "import", "-", "--data", data, input=device.line())
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(64)
        server = started(data, "--forward", f"http://127.0.0.1:{silent.getsockname()[1]}", "--forward-timeout", 60,
                         "--forward-connections", 2, "--forward-queue", 3, "--workers", 1, *METRICS)
        told: list[str] = []

        def asks(message: dict) -> threading.Thread:
            thread = threading.Thread(target=lambda: told.append(result(server.ask(message))))
            thread.start()
            return thread

        same = STRANGER.join()
        asking = [asks(same), asks(same)]  # the very same while it is on its way: it has come back to us
        wait_until(lambda: metric(server, "loop") == 1)
        asking += [asks(Device(0x0A0B0C0D0E0F0001 + i).join()) for i in range(10)]
        wait_until(lambda: metric(server, "full") == 10 + 1 - 2 - 3)  # the others are on their way, or wait
        wait_until(lambda: told == ["Other"] * 7)
        for _ in range(20):
            assert result(server.ask(device.join())) == "Success"
        assert len(told) == 7, "those have not been answered yet"
    for thread in asking:  # now it is gone, with whom it had let in
        thread.join(PATIENCE)
    assert told == ["Other"] * 12 and metric(server, "unreachable") == 5 and metric(server, "timeout") == 0


def test_the_end_waits_for_no_other_server(data, started):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(64)
        server = started(data, "--forward", f"http://127.0.0.1:{silent.getsockname()[1]}", "--forward-timeout", 60)
        client = socket.create_connection(("127.0.0.1", server.port))
        body = json.dumps(STRANGER.join()).encode()
        client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        silent.settimeout(PATIENCE)
        there, _ = silent.accept()  # it is on its way
        server.process.terminate()
        wait_until(lambda: "stopping on SIGTERM" in server.stderr())
        assert server.stop() == 0  # a second signal
        there.close()
        client.close()


def test_over_tls(run, data, started, pki, tmp_path):  # noqa: F811
    """Whom we trust is the file; whom the old server takes us for is the certificate that we show it."""
    ours, radio = pki.more("ours", signer=pki.ca), Device(0x0102030405060000)
    old_data = tmp_path / "old"
    run("device", "import", "-", "--data", old_data, input=radio.line())
    old = started(old_data, "--tls-certificate", pki.server.pem, "--tls-key", pki.server.key_pem, "--peer",
                  f'moving {{ certificate-sha256 = {{"{ours.sha256}"}} net-ids = {{"000013"}} clear-ns = true }}')
    url = f"https://localhost:{old.port}/"
    show = ("--forward-certificate", ours.pem, "--forward-key", ours.key_pem)
    trust = ("--forward-ca", pki.server.pem)
    new = started(data, "--forward", url, *trust, *show)
    assert result(new.ask(radio.join())) == "Success"
    assert result(new.ask(radio.join("000024"))) == "UnknownSender"  # its word: we do not speak for that network there
    nobody = started(tmp_path / "nobody", "--forward", url, *trust)
    assert result(nobody.ask(radio.join())) == "UnknownSender"
    stranger = started(tmp_path / "stranger", "--forward", url, "--forward-ca", pki.ca.pem, *show)
    assert result(stranger.ask(radio.join())) == "Other"


def test_where_it_may_not_go(run, data):
    def wrong(*flags: object) -> str:
        return run("serve", "--data", data, "--listen", "127.0.0.1:0", *flags, code=USAGE).stderr

    for url in ("ftp://127.0.0.1/", "file:///etc/passwd", "127.0.0.1", "https://name:word@js.example/", "https://", "gopher://x"):
        assert "takes an address" in wrong("--forward", url)
    assert "without TLS" in wrong("--forward", "http://js.example/")
    assert "without TLS" in wrong("--forward", "http://127.0.0.1.js.example/")
    assert "mean nothing" in wrong("--forward-ca", "x")
    assert "means nothing" in wrong("--forward", "https://js.example/", "--forward-key", "x")
