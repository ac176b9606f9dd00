"""The daemon over plain HTTP: what it says, what it refuses, how it stops."""

from __future__ import annotations

import concurrent.futures
import contextlib
import http.client
import json
import os
import pathlib
import re
import select
import signal
import socket
import sqlite3
import stat
import subprocess
import threading
import time
import urllib.error
import urllib.request

import pytest
from conftest import FAILED, PATIENCE, USAGE
from joins import Device, devices, result


def import_devices(run, data: pathlib.Path, many: list[Device], **members: object) -> None:
    run("device", "import", "-", "--data", data, input="".join(d.line(**members) for d in many))


def connect(server) -> socket.socket:
    return socket.create_connection((server.host.strip("[]"), server.port), timeout=PATIENCE)


def request(body: bytes | str | dict, *headers: str) -> bytes:
    if isinstance(body, dict):
        body = json.dumps(body)
    if isinstance(body, str):
        body = body.encode()
    lines = ["POST / HTTP/1.1", "Host: js", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def read_answer(sock: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """One HTTP answer, and nothing after it."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        one = sock.recv(1)
        if not one:
            raise ConnectionError(f"closed after {head!r}")
        head += one
    first, *rest = head.decode().split("\r\n")[:-2]
    headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in rest)}
    body = b""
    while (left := int(headers.get("content-length", 0)) - len(body)) > 0:
        more = sock.recv(left)
        if not more:
            raise ConnectionError(f"truncated: {body!r}")
        body += more
    return int(first.split()[1]), headers, body


def is_closed(sock: socket.socket, within: float = PATIENCE) -> bool:
    """Does the other end close, saying nothing?"""
    sock.settimeout(within)
    try:
        return sock.recv(1) == b""
    except ConnectionResetError:
        return True
    except socket.timeout:
        return False


def get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as err:
        return err.code, err.read().decode()


def metrics_url(server) -> str:
    return server._wait_for(rb"^metrics on (http://[^\s]+)")[1].decode()


def forged(frame: bytes) -> bytes:
    """A frame whose MIC is wrong, whatever it was."""
    return frame[:-1] + bytes([frame[-1] ^ 1])


def wait_until(what, within: float = PATIENCE) -> None:
    end = time.monotonic() + within
    while not what():
        assert time.monotonic() < end, "did not come to pass"
        time.sleep(0.02)


# ---- the start ----------------------------------------------------------------


def test_one_line_on_stdout(server):
    assert server.scheme == "http" and server.host == "127.0.0.1" and server.port > 0
    assert server.stop() == 0
    assert server.stdout.decode() == f"listening on http://127.0.0.1:{server.port}\n"


def test_two_free_ports(serve, tmp_path):
    one, two = serve(data=tmp_path / "1"), serve(data=tmp_path / "2")
    assert one.port != two.port


def test_ipv6(serve):
    if not socket.has_ipv6:
        pytest.skip("no IPv6")
    try:
        socket.socket(socket.AF_INET6).bind(("::1", 0))
    except OSError:
        pytest.skip("no IPv6 loopback")
    server = serve(listen="[::1]:0")
    assert server.url.startswith("http://[::1]:")
    assert server.post("x")[0] == 400


def test_makes_what_is_missing_for_its_own_user_only(serve, tmp_path):
    data = tmp_path / "deep" / "data"
    data.parent.mkdir()
    serve(data=data).stop()
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    names = {p.name: stat.S_IMODE(p.stat().st_mode) for p in data.iterdir()}
    assert names["master.key"] == 0o600 and names["lorajs.db"] == 0o600
    assert all(mode == 0o600 for mode in names.values()), names


def test_says_that_it_serves_anybody(server):
    assert "any sender" in server.stderr() and "clear" in server.stderr()


@pytest.mark.parametrize("listen", ["0.0.0.0:0", "[::]:0", ":0"])
def test_refuses_a_public_address_in_clear(run, data, listen):
    done = run("serve", "--data", data, "--listen", listen, code=USAGE)
    assert "--tls-certificate" in done.stderr and "--insecure" in done.stderr
    assert not data.exists(), "it had begun already"


def test_insecure_listens_and_trusts_nobody(run, serve, data):
    device = Device(1)
    server = serve("--insecure", listen="0.0.0.0:0")
    import_devices(run, data, [device])
    assert result(server.ask(device.join())) == "UnknownSender"
    assert "--insecure" in server.stderr() and "refused" in server.stderr()


def test_allow_clear_keys_is_for_loopback(run, serve, data):
    device = Device(1)
    server = serve("--insecure", "--allow-clear-keys", listen="0.0.0.0:0")
    import_devices(run, data, [device])
    answer = server.ask(device.join())
    assert result(answer) == "UnknownSender" and "NwkSKey" not in answer


def test_metrics_too_stay_on_loopback(run, data):
    done = run("serve", "--data", data, "--listen", "127.0.0.1:0", "--metrics", "0.0.0.0:0", code=USAGE)
    assert "--metrics-insecure" in done.stderr


@pytest.mark.parametrize("listen", ["127.0.0.1", "127.0.0.1:", "127.0.0.1:http!", "127.0.0.1:65536", "::1:80", "", ":-1"])
def test_addresses_that_are_none(run, data, listen):
    done = run("serve", "--data", data, "--listen", listen, code=USAGE)
    assert "--listen" in done.stderr


def test_port_taken(run, serve, server, tmp_path):
    done = run("serve", "--data", tmp_path / "other", "--listen", f"127.0.0.1:{server.port}", code=FAILED)
    assert "cannot listen" in done.stderr
    assert server.post("x")[0] == 400


@pytest.mark.parametrize("flags", [["--timeout", "0"], ["--workers", "65"], ["--log-format", "xml"], ["--batch", "x"],
                                   ["--nonsense"], ["word"], ["--peer", "acme {"], ["--plain-peer", "acme"],
                                   ["--client-ca", "x.pem"], ["--tls-key", "x.pem"]])
def test_flags_that_are_wrong(run, data, flags):
    done = run("serve", "--data", data, "--listen", "127.0.0.1:0", *flags, code=USAGE)
    assert done.stderr.startswith("lorajs: ") and not done.stdout


def test_no_core_dumps(server):
    limits = pathlib.Path(f"/proc/{server.process.pid}/limits").read_text()
    assert re.search(r"Max core file size\s+0\s+0\s", limits)


# ---- HTTP -----------------------------------------------------------------------


def test_joins(run, server, data):
    device = Device(0x0102030405060708)
    import_devices(run, data, [device])
    answer = server.ask(device.join(transaction=77))
    assert result(answer) == "Success" and answer["TransactionID"] == 77 and answer["MessageType"] == "JoinAns"
    assert len(answer["PHYPayload"]) == 34 and len(answer["NwkSKey"]["AESKey"]) == 32


@pytest.mark.parametrize("path", ["/", "/api/v1/join?x=1", "/%00", "//", "/" + "a" * 2000])
@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8", "text/plain", "x"])
def test_any_path_and_content_type(server, path, kind):
    status, body = server.post('{"ProtocolVersion":"1.0"}', path=path, headers={"Content-Type": kind})
    assert status == 200 and result(body)


@pytest.mark.parametrize("body", [b"", b"garbage", b"\xff\x00", b"[]", b'{"a":1,"a":2}', b"{}{}", b"{" * 1000])
def test_400_is_json(server, body):
    connection = http.client.HTTPConnection(server.host, server.port, timeout=PATIENCE)
    connection.request("POST", "/", body)
    answer = connection.getresponse()
    assert answer.status == 400
    assert answer.getheader("Content-Type") == "application/json"
    assert result(answer.read())


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "POS", "POSTER"])
@pytest.mark.parametrize("body", [b"", b"{}"])
def test_405(server, method, body):
    connection = http.client.HTTPConnection(server.host, server.port, timeout=PATIENCE)
    connection.request(method, "/", body)
    answer = connection.getresponse()
    assert answer.status == 405 and answer.getheader("Allow") == "POST"
    assert answer.getheader("Content-Type") == "application/json"
    text = answer.read()
    assert method == "HEAD" or result(text) == "MalformedRequest"


def test_answers_are_not_cached(server):
    with connect(server) as sock:
        sock.sendall(request("{}"))
        assert read_answer(sock)[1]["cache-control"] == "no-store"


def test_the_longest_body(server):
    assert server.post(b" " * 65536)[0] == 400
    assert server.post(b" " * 65537)[0] == 413


@pytest.mark.parametrize("chunked", [False, True])
def test_1_mb_is_413(server, chunked):
    connection = http.client.HTTPConnection(server.host, server.port, timeout=PATIENCE)
    body = (b" " * 65536 for _ in range(16)) if chunked else b" " * (1 << 20)
    connection.request("POST", "/", body, encode_chunked=chunked,
                       headers={"Transfer-Encoding": "chunked"} if chunked else {})
    answer = connection.getresponse()
    assert answer.status == 413 and result(answer.read()) == "MalformedRequest"
    assert server.post("x")[0] == 400


def test_no_end_is_cut_off(server):
    """A refused body is read for the sake of the answer, but not for ever."""
    with connect(server) as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nHost: js\r\nTransfer-Encoding: chunked\r\n\r\n")
        with pytest.raises(OSError):
            for _ in range(64):
                sock.sendall(b"100000\r\n" + b" " * (1 << 20) + b"\r\n")
    assert server.post("x")[0] == 400


def test_truncated_body(serve):
    server = serve("--timeout", 2)  # libmicrohttpd may miss an end that comes together with octets
    with connect(server) as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nHost: js\r\nContent-Length: 100\r\n\r\n{")
        sock.shutdown(socket.SHUT_WR)
        assert is_closed(sock)
    assert server.post("x")[0] == 400


def test_gone_in_the_middle_of_a_body(server):
    """What has arrived goes too, or the address sanitizer tells at the end."""
    for arrived in 1, 5000:
        with connect(server) as sock:
            sock.sendall(b"POST / HTTP/1.1\r\nHost: js\r\nContent-Length: 60000\r\n\r\n" + b"x" * arrived)
    assert server.post("x")[0] == 400
    assert server.stop() == 0


def test_who_sends_and_closes_his_half_is_answered(server):
    with connect(server) as sock:
        sock.sendall(request("{}", "Connection: close"))
        sock.shutdown(socket.SHUT_WR)
        assert read_answer(sock)[0] == 200


def test_expect_100_continue(server):
    with connect(server) as sock:
        head, body = request("{}", "Expect: 100-continue").split(b"\r\n\r\n")
        sock.sendall(head + b"\r\n\r\n")
        assert read_answer(sock)[0] == 100
        sock.sendall(body)
        assert read_answer(sock)[0] == 200
    with connect(server) as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nHost: js\r\nContent-Length: 1000000\r\nExpect: 100-continue\r\n\r\n")
        assert read_answer(sock)[0] == 413, "before a body is sent"


def test_chunked_body(run, server, data):
    device = Device(1)
    import_devices(run, data, [device])
    body = json.dumps(device.join()).encode() + b" " * 2000  # more than there is room for at first
    connection = http.client.HTTPConnection(server.host, server.port, timeout=PATIENCE)
    connection.request("POST", "/", (body[i:i + 7] for i in range(0, len(body), 7)), encode_chunked=True,
                       headers={"Transfer-Encoding": "chunked"})
    answer = connection.getresponse()
    assert answer.status == 200 and result(answer.read()) == "Success"


def test_keep_alive(run, server, data):
    device = Device(1)
    import_devices(run, data, [device])
    with connect(server) as sock:
        for i in range(50):
            sock.sendall(request(device.join(transaction=i)))
            status, headers, body = read_answer(sock)
            assert status == 200 and headers.get("connection", "").lower() != "close"
            assert json.loads(body)["TransactionID"] == i and result(body) == "Success"
        sock.sendall(request("garbage"))
        assert read_answer(sock)[0] == 400
        sock.sendall(request("{}"))
        assert read_answer(sock)[0] == 200


def test_pipelined(run, server, data):
    device = Device(1)
    import_devices(run, data, [device])
    with connect(server) as sock:
        sock.sendall(b"".join(request(device.join(transaction=i)) for i in range(20)))
        assert [json.loads(read_answer(sock)[2])["TransactionID"] for _ in range(20)] == list(range(20))


def test_http_1_0(server):
    with connect(server) as sock:
        sock.sendall(b"POST / HTTP/1.0\r\nContent-Length: 2\r\n\r\n{}")
        assert read_answer(sock)[0] == 200
        assert is_closed(sock)


@pytest.mark.parametrize("noise", [b"\r\n\r\n\r\n", b"\x16\x03\x01\x00\xa5\x01\x00", b"GET\r\n\r\n", b"POST / HTTP/9.9\r\n\r\n",
                                   b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
                                   b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
                                   b"POST / HTTP/1.1\r\nX: " + b"a" * 100000 + b"\r\n\r\n"])
def test_noise(serve, noise):
    server = serve("--timeout", 2)
    with connect(server) as sock:
        try:
            sock.sendall(noise)
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(65536):
                pass
        except OSError:
            pass
    assert server.post("x")[0] == 400


# ---- slow clients ------------------------------------------------------------------


def drip(sock: socket.socket, octets: bytes, end: float) -> bool:
    """One octet every 0.1 s: does the other end close before the end?"""
    for i in range(len(octets)):
        if time.monotonic() > end:
            return False
        try:
            sock.sendall(octets[i:i + 1])
        except OSError:
            return True
        readable, _, _ = select.select([sock], [], [], 0.1)
        if readable and is_closed(sock):
            return True
    return False


@pytest.mark.parametrize("already, dripped", [
    (b"", b""),  # says nothing
    (b"", b"POST / HTTP/1.1\r\nX-Slow: " + b"a" * 1000),
    (b"POST / HTTP/1.1\r\n", b"X-Slow: " + b"a" * 1000),
    (b"POST / HTTP/1.1\r\nHost: js\r\nContent-Length: 1000\r\n\r\n", b"{" + b" " * 998),
    (b"POST / HTTP/1.1\r\nHost: js\r\nTransfer-Encoding: chunked\r\n\r\n", b"3e8\r\n" + b" " * 998),
], ids=["silent", "request line", "header", "body", "chunked"])
def test_slow_clients_are_closed_while_others_are_served(serve, already, dripped):
    server = serve("--timeout", 1)
    begun = time.monotonic()  # before the server's clock begins
    with connect(server) as slow:
        slow.sendall(already)
        closed: list[bool] = []
        thread = threading.Thread(target=lambda: closed.append(
            drip(slow, dripped, begun + 30) if dripped else is_closed(slow, 30)))
        thread.start()
        served = 0
        while thread.is_alive():
            assert server.post("x", timeout=5)[0] == 400
            served += 1
            time.sleep(0.05)
        assert closed == [True] and served > 3
        assert 0.8 < time.monotonic() - begun < 20


def test_the_time_of_a_slow_disk_is_nobodys(run, serve, data):
    """A thread that waits for the disk reads nobody: its clients' time begins again where it stood."""
    device, = devices(1)
    import_devices(run, data, [device])
    server = serve("--timeout", 2, "--workers", 1, "--allow-clear-keys", "--metrics", "127.0.0.1:0")
    metrics = metrics_url(server) + "/metrics"
    db = sqlite3.connect(data / "lorajs.db", isolation_level=None)
    with contextlib.closing(db), connect(server) as joins, connect(server) as begun:
        db.execute("BEGIN IMMEDIATE")
        begun.sendall(request("{}")[:20])
        wait_until(lambda: "lorajs_in_flight 1\n" in get(metrics)[1])
        joins.sendall(request(device.join()))
        wait_until(lambda: "lorajs_working 1\n" in get(metrics)[1])
        time.sleep(2.1)  # longer than a request may take
        assert "lorajs_http_timeouts_total 0\n" in get(metrics)[1]
        db.execute("ROLLBACK")
        assert result(read_answer(joins)[2]) == "Success"
        time.sleep(0.6)  # the server looks at its clock in between
        begun.sendall(request("{}")[20:])
        assert read_answer(begun)[0] == 200


def test_keep_alive_ends(serve):
    server = serve("--timeout", 5, "--keep-alive", 1)
    with connect(server) as sock:
        sock.sendall(request("{}"))
        assert read_answer(sock)[0] == 200
        assert is_closed(sock, 20)


def test_who_rests_keeps_his_connection(serve):
    server = serve("--timeout", 1, "--keep-alive", 60)
    with connect(server) as sock:
        for _ in range(2):
            sock.sendall(request("{}"))
            assert read_answer(sock)[0] == 200
            time.sleep(2)


def test_the_limit_of_connections(serve):
    server = serve("--connections", 2)
    first, second = connect(server), connect(server)
    for sock in first, second:
        sock.sendall(request("{}"))
        assert read_answer(sock)[0] == 200
    with connect(server) as third:
        third.sendall(request("{}"))
        readable, _, _ = select.select([third], [], [], 0.5)
        assert not readable, "a third was served"
        first.close()
        assert read_answer(third)[0] == 200
    second.close()


# ---- load --------------------------------------------------------------------------


def test_32_connections_in_parallel(run, serve, data):
    many = devices(320)
    server = serve("--allow-clear-keys", "--metrics", "127.0.0.1:0")
    import_devices(run, data, many)

    def work(mine: list[Device]) -> list[str]:
        with connect(server) as sock:
            got = []
            for device in mine:
                sock.sendall(request(device.join()))
                got.append(result(read_answer(sock)[2]))
            return got

    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        results = [r for part in pool.map(work, [many[i::32] for i in range(32)]) for r in part]
    assert results == ["Success"] * 320
    text = get(metrics_url(server) + "/metrics")[1]
    assert 'lorajs_requests_total{type="JoinReq",result="OK"} 320' in text
    batches = int(re.search(r"^lorajs_batch_requests_count (\d+)$", text, re.M)[1])
    assert batches < 320, "nothing was ever answered together"


def test_a_thousand_copies_are_one_session(run, server, data):
    device = Device(1)
    import_devices(run, data, [device])
    body = request(device.join())

    def work(_: int) -> list[dict]:
        with connect(server) as sock:
            got = []
            for _ in range(32):
                sock.sendall(body)
                got.append(json.loads(read_answer(sock)[2]))
            return got

    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        answers = [a for part in pool.map(work, range(32)) for a in part]
    assert len(answers) == 1024 and {result(a) for a in answers} == {"Success"}
    assert len({a["SessionKeyID"] for a in answers}) == 1 and len({a["PHYPayload"] for a in answers}) == 1


def test_too_many_are_told_to_come_again(run, serve, data):
    many = devices(64)
    server = serve("--queue", 1, "--workers", 1, "--batch", 1, "--allow-clear-keys")
    import_devices(run, data, many)
    gate = threading.Barrier(64)

    def work(device: Device) -> tuple[int, dict[str, str], bytes]:
        with connect(server) as sock:
            gate.wait()
            for _ in range(5):
                sock.sendall(request(device.join()))
                answer = read_answer(sock)
                if answer[0] == 503:
                    return answer
                assert answer[0] == 200 and result(answer[2]) == "Success"
            return answer

    with concurrent.futures.ThreadPoolExecutor(64) as pool:
        answers = list(pool.map(work, many))
    busy = [a for a in answers if a[0] == 503]
    assert busy, "the queue was never full"
    assert all(a[1]["retry-after"] == "1" and result(a[2]) for a in busy)
    assert server.post("x")[0] == 400


# ---- the end -----------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stops(server, number):
    with connect(server) as resting:
        resting.sendall(request("{}"))
        assert read_answer(resting)[0] == 200
        begun = time.monotonic()
        server.process.send_signal(number)
        assert server.process.wait(PATIENCE) == 0
        assert time.monotonic() - begun < 9, "it waited for a client that rests"
        assert is_closed(resting)


def is_refused(server) -> bool:
    try:
        connect(server).close()
    except OSError:
        return True
    return False


def test_what_has_begun_is_finished(run, serve, data):
    device = Device(1)
    server = serve("--allow-clear-keys", "--metrics", "127.0.0.1:0")
    url = metrics_url(server)
    import_devices(run, data, [device])
    whole = request(device.join())
    with connect(server) as sock:
        sock.sendall(whole[:-10])
        wait_until(lambda: "lorajs_in_flight 1" in get(url + "/metrics")[1].splitlines())
        server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: "stopping" in server.stderr())
        wait_until(lambda: is_refused(server))
        assert server.process.poll() is None
        sock.sendall(whole[-10:])
        status, headers, body = read_answer(sock)
        assert status == 200 and result(body) == "Success" and headers["connection"].lower() == "close"
        assert is_closed(sock)
    assert server.process.wait(PATIENCE) == 0


def test_a_stop_does_not_wait_for_ever(serve):
    server = serve("--timeout", 1)
    with connect(server) as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nHost: js\r\nContent-Length: 10\r\n\r\n")
        time.sleep(0.2)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(20) == 0
        assert is_closed(sock)


def test_a_second_signal_does_not_wait(serve):
    server = serve("--timeout", 600)
    with connect(server) as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nHost: js\r\nContent-Length: 10\r\n\r\n")
        time.sleep(0.2)
        server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: "stopping" in server.stderr())
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(20) == 0


def test_sigterm_in_the_middle_of_load(run, server, data, serve):
    """Who has been let in is answered, and what was answered is remembered."""
    many = devices(64)
    import_devices(run, data, many)
    answered: list[tuple[Device, dict]] = []
    unanswered: list[str] = []
    lock = threading.Lock()
    # The daemon ends when nobody has asked anything for 60 ms: who was kept from asking for as long has no promise.
    in_time = float("inf")

    def work(mine: list[Device]) -> None:
        sock = connect(server)
        for i in range(10000):
            device = mine[i % len(mine)]
            sent = float("inf")
            try:
                sock.sendall(request(device.join()))
                sent = time.monotonic()
                _, headers, body = read_answer(sock)
            except OSError as err:
                with lock:
                    if min(sent, time.monotonic()) < in_time:
                        unanswered.append(str(err))
                    device.nonce -= 1  # that was never heard: below, the one before it is still the last
                return
            with lock:
                answered.append((device, json.loads(body)))
            if headers.get("connection", "").lower() == "close":
                sock.close()
                return

    threads = [threading.Thread(target=work, args=(many[i::16],)) for i in range(16)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(answered) > 200 and len({d.dev_eui % 16 for d, _ in answered}) == 16)  # of each thread one
    in_time = time.monotonic() + 0.03
    server.process.send_signal(signal.SIGTERM)
    for thread in threads:
        thread.join(PATIENCE)
    assert server.process.wait(PATIENCE) == 0
    assert not unanswered
    assert {result(a) for _, a in answered} == {"Success"}
    again = serve("--allow-clear-keys")
    for device in many:
        last = device.frame(device.nonce)
        if device.nonce >= 0:  # the same frame is answered by the same session, one before it is refused
            answer = again.ask(device.join(frame=last))
            mine = [a for d, a in answered if d is device]
            assert result(answer) == "Success" and answer["SessionKeyID"] == mine[-1]["SessionKeyID"]
            if device.nonce > 0:
                assert result(again.ask(device.join(frame=device.frame(device.nonce - 1)))) != "Success"


# ---- operators -----------------------------------------------------------------------


def test_health_and_metrics(run, serve, data):
    device = Device(0xA1B2C3D4E5F60718)
    server = serve("--allow-clear-keys", "--metrics", "127.0.0.1:0")
    url = metrics_url(server)
    assert get(url + "/healthz") == (200, "ok\n") and get(url + "/readyz") == (200, "ready\n")
    assert get(url + "/")[0] == 404
    import_devices(run, data, [device])
    frame = device.frame(0)
    answers = [server.ask(device.join(frame=frame)), server.ask(device.join(frame=forged(frame)))]
    server.ask(Device(99).join())
    server.post("garbage")
    gauges = ["lorajs_in_flight 0", "lorajs_waiting 0", "lorajs_working 0"]
    # A client has the whole of its answer before the server has counted it as gone.
    wait_until(lambda: set(gauges) <= set(get(url + "/metrics")[1].splitlines()))
    text = get(url + "/metrics")[1]
    assert [result(a) for a in answers] == ["Success", "MICFailed"]
    for line in ['lorajs_requests_total{type="JoinReq",result="OK"} 1',
                 'lorajs_requests_total{type="JoinReq",result="MIC"} 1',
                 'lorajs_requests_total{type="JoinReq",result="DEVICE"} 1',
                 'lorajs_http_answers_total{status="200"} 3', 'lorajs_http_answers_total{status="400"} 1',
                 'lorajs_request_seconds_bucket{le="+Inf"} 4', "lorajs_request_seconds_count 4", *gauges]:
        assert line + "\n" in text, line
    for line in text.splitlines():
        assert re.fullmatch(r'# (HELP|TYPE) lorajs_.*|lorajs_[a-z_]+(\{[a-z]+="[^"]*"(,[a-z]+="[^"]*")*\})? [0-9.e+-]+', line)
    secret = [device.key.hex(), answers[0]["NwkSKey"]["AESKey"], answers[0]["AppSKey"]["AESKey"], f"{device.dev_eui:x}"]
    assert not [s for s in secret if s.lower() in text.lower()]


def test_the_metrics_listener_does_not_join(run, serve, data):
    server = serve("--metrics", "127.0.0.1:0")
    request_ = urllib.request.Request(metrics_url(server) + "/metrics", data=b"{}", method="POST")
    with pytest.raises(urllib.error.HTTPError) as err:
        urllib.request.urlopen(request_, timeout=PATIENCE)
    assert err.value.code in (405, 413)


def test_not_ready_without_a_store(serve, data):
    server = serve("--metrics", "127.0.0.1:0")
    url = metrics_url(server)
    assert get(url + "/readyz")[0] == 200
    for path in data.glob("lorajs.db*"):
        with open(path, "r+b") as file:
            size = path.stat().st_size
            file.write(os.urandom(size))
    assert get(url + "/readyz") == (503, "store\n")
    assert get(url + "/healthz")[0] == 200


def test_log_lines(run, serve, data):
    device = Device(0xA1B2C3D4E5F60718)
    server = serve("--allow-clear-keys")
    import_devices(run, data, [device])
    answer = server.ask(device.join())
    server.ask(device.join(frame=device.frame(0)))  # a repeat
    server.ask(device.join())
    server.ask(device.join(frame=device.frame(0)))
    server.stop()
    lines = [line for line in server.stderr().splitlines() if " JoinReq " in line]
    assert len(lines) == 4
    stamp = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
    about = "dev_eui=a1b2c3d4e5f60718 net_id=000013"
    assert re.fullmatch(rf"{stamp} info OK JoinReq {about} nonce=0", lines[0])
    assert re.fullmatch(rf"{stamp} info OK JoinReq {about} nonce=0 repeat", lines[1])
    assert re.fullmatch(rf"{stamp} info OK JoinReq {about} nonce=1", lines[2])
    assert re.fullmatch(rf"{stamp} warning REPLAY JoinReq {about} nonce=0: nonce .*", lines[3])
    for secret in device.key.hex(), answer["NwkSKey"]["AESKey"], answer["AppSKey"]["AESKey"]:
        assert secret.lower() not in server.stderr().lower()


def test_log_of_json(run, serve, data):
    device = Device(0xA1B2C3D4E5F60718)
    server = serve("--allow-clear-keys", "--log-format", "json", "--log-level", "debug")
    import_devices(run, data, [device])
    server.ask(device.join())
    server.ask(device.join(frame=forged(device.frame(5))))
    with connect(server) as sock:  # something for libmicrohttpd to complain about
        sock.sendall(b"\x01\x02\r\n\r\n")
        is_closed(sock)
    server.stop()
    events = [json.loads(line) for line in server.stderr().splitlines()]
    assert {"result", "type", "dev_eui", "net_id", "nonce", "time", "level"} <= set(events[1])
    refusal = [e for e in events if e.get("result") == "MIC"]
    assert len(refusal) == 1 and refusal[0]["nonce"] == 5 and refusal[0]["level"] == "warning" and refusal[0]["text"]


def test_log_levels(serve):
    server = serve("--log-level", "error")
    server.post("garbage")
    server.stop()
    assert server.stderr() == ""


def test_the_same_refusal_is_written_once(serve):
    server = serve()
    for _ in range(50):
        server.ask(Device(0x77).join())
    server.ask(Device(0x78).join())
    server.stop()
    lines = [line for line in server.stderr().splitlines() if " JoinReq " in line]
    assert len([line for line in lines if "dev_eui=0000000000000077" in line]) == 2
    assert len([line for line in lines if "49 more like it" in line]) == 1
    assert len([line for line in lines if "dev_eui=0000000000000078" in line]) == 1


def test_a_flood_of_refusals_does_not_fill_the_disk(serve):
    server = serve()
    with connect(server) as sock:
        for part in range(10):
            sock.sendall(b"".join(request(Device(0x1000 + 200 * part + i).join()) for i in range(200)))
            for _ in range(200):
                assert read_answer(sock)[0] == 200
    server.stop()
    lines = [line for line in server.stderr().splitlines() if " JoinReq " in line]
    told = sum(int(n) for n in re.findall(r"(\d+) refusals were too many", server.stderr()))
    assert len(lines) + told == 2000 and (told or len(lines) >= 2000)


def test_systemd_is_told(serve, tmp_path):
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(path))
        sock.settimeout(PATIENCE)
        server = serve(env={"NOTIFY_SOCKET": str(path)})
        assert sock.recv(100) == b"READY=1"
        server.process.send_signal(signal.SIGHUP)
        assert re.fullmatch(rb"RELOADING=1\nMONOTONIC_USEC=\d+", sock.recv(100))
        assert sock.recv(100) == b"READY=1"
        server.process.send_signal(signal.SIGTERM)
        assert sock.recv(100) == b"STOPPING=1"
        assert server.process.wait(PATIENCE) == 0


def test_nobody_reads_the_answer(run, server, data):
    """Who asks and goes away harms nobody."""
    device = Device(1)
    import_devices(run, data, [device])
    for _ in range(50):
        with connect(server) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
            sock.sendall(request(device.join()))
    wait_until(lambda: server.post("x")[0] == 400)
    assert result(server.ask(device.join())) == "Success"
    assert server.stop() == 0
