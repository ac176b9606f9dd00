"""lorajs.asgi and lorajs.aio: HTTP as the daemon speaks it, batches, and an event loop that never waits."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import http.client
import json
import os
import pathlib
import pickle
import re
import sqlite3
import ssl
import subprocess
import threading
import time
import traceback
import urllib.request
from dataclasses import dataclass, field
from typing import Any, Awaitable, Callable, Iterator, Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import lorajs
from lorajs import aio, asgi, testing

ROOT = pathlib.Path(__file__).resolve().parents[2]
LAB = {"anonymous": True, "clear": lorajs.Clear.NS | lorajs.Clear.AS}
DEV_EUI, JOIN_EUI = lorajs.EUI("0102030405060708"), lorajs.EUI("70b3d57ed0000000")
KEY = bytes(range(1, 17))
PATIENCE = 60


def join_request(nonce: int, dev_eui: int = DEV_EUI, key: bytes = KEY, **members: object) -> bytes:
    phy = lorajs.Frame(lorajs.FrameKind.JOIN, lorajs.EUI(dev_eui), JOIN_EUI, nonce=nonce).sign(
        lorajs.Key.from_bytes(bytearray(key)))
    return json.dumps({
        "ProtocolVersion": "1.0", "SenderID": "000013", "ReceiverID": str(JOIN_EUI), "TransactionID": nonce,
        "MessageType": "JoinReq", "MACVersion": "1.0.4", "PHYPayload": phy.hex(), "DevEUI": f"{dev_eui:016x}",
        "DevAddr": "26011234", "DLSettings": "00", "RxDelay": 1, **members,
    }).encode()


def result(answer: bytes) -> str:
    return json.loads(answer)["Result"]["ResultCode"]


def add_device(server: lorajs.JoinServer, dev_eui: int = DEV_EUI) -> None:
    server.make_device(lorajs.Device(lorajs.EUI(dev_eui), JOIN_EUI, lorajs.Mac.V1_0_4),
                       app_key=lorajs.Key.from_bytes(bytearray(KEY)), allow_weak=True)


@pytest.fixture
def server() -> Iterator[lorajs.JoinServer]:
    with lorajs.JoinServer(lorajs.Vault.generate(), lorajs.Store.memory(), **LAB) as server:
        add_device(server)
        yield server


# ---- an ASGI server that does as it is told ------------------------------------


@dataclass
class Answer:
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    events: list[str] = field(default_factory=list)


def http_scope(method: str = "POST", headers: dict[str, str] | None = None, **more: Any) -> dict[str, Any]:
    return {"type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1", "method": method,
            "scheme": "http", "path": "/", "raw_path": b"/", "query_string": b"", "root_path": "",
            "headers": [(k.lower().encode(), v.encode("latin-1")) for k, v in (headers or {}).items()],
            "client": ("127.0.0.1", 50000), "server": ("127.0.0.1", 80), **more}


async def ask(app: asgi.Application, *chunks: bytes | Callable[[], Awaitable[dict]], whole: bool = True,
              **scope: Any) -> Answer:
    """One request; a chunk is octets, or what is awaited for the event itself.  Not whole: then the client closes."""
    events = [chunk if callable(chunk) else {"type": "http.request", "body": chunk, "more_body": True}
              for chunk in chunks or (b"",)]
    if whole and isinstance(events[-1], dict):
        events[-1]["more_body"] = False
    answer, at = Answer(), iter(events)

    async def receive() -> dict:
        event = next(at, {"type": "http.disconnect"})
        return await event() if callable(event) else event

    async def send(event: dict) -> None:
        answer.events.append(event["type"])
        if event["type"] == "http.response.start":
            answer.status = event["status"]
            answer.headers = {k.decode(): v.decode() for k, v in event["headers"]}
        else:
            answer.body += event.get("body", b"")

    await app(http_scope(**scope), receive, send)
    return answer


def run(coroutine: Awaitable[Any]) -> Any:
    return asyncio.run(asyncio.wait_for(coroutine, PATIENCE))


# ---- HTTP as the daemon speaks it ----------------------------------------------

REQUESTS: dict[str, tuple[str, bytes, dict[str, str]]] = {
    "join": ("POST", join_request(1), {"Content-Type": "application/json; charset=utf-8"}),
    "join again": ("POST", join_request(1), {"Content-Type": "text/plain"}),
    "wrong MIC": ("POST", join_request(2, key=bytes(range(2, 18))), {}),
    "unknown device": ("POST", join_request(2, 0xABC), {}),
    "protocol 1.1": ("POST", join_request(3, ProtocolVersion="1.1", SenderNSID="70b3d57ed0000001",
                                          ReceiverNSID="70b3d57ed0000002"), {}),
    "protocol 2.0": ("POST", join_request(3, ProtocolVersion="2.0"), {}),
    "a member missing": ("POST", b'{"ProtocolVersion":"1.0","MessageType":"JoinReq"}', {}),
    "no type": ("POST", b"{}", {}),
    "an answer": ("POST", join_request(3, MessageType="JoinAns"), {}),
    "nothing": ("POST", b"", {}),
    "garbage": ("POST", b"garbage", {}),
    "no UTF-8": ("POST", b'{"a":"\xff"}', {}),
    "a list": ("POST", b"[]", {}),
    "a name twice": ("POST", b'{"a":1,"a":2}', {}),
    "two objects": ("POST", b"{}{}", {}),
    "deep": ("POST", b"{" * 1000, {}),
    "the longest": ("POST", b" " * 65536, {}),
    "too long": ("POST", b" " * 65537, {}),
    "much too long": ("POST", b" " * (1 << 20), {}),
    **{method: (method, body, {}) for method, body in
       [("GET", b""), ("HEAD", b""), ("PUT", b"{}"), ("DELETE", b""), ("OPTIONS", b""), ("PATCH", b"{}"),
        ("POSTER", b"{}")]},
}


@pytest.fixture(scope="module")
def daemon_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """`lorajs serve` over a data directory with our device."""
    program = os.environ.get("LORAJS", str(ROOT / "build/release/tools/lorajs"))
    data = tmp_path_factory.mktemp("daemon") / "data"
    line = {"dev_eui": f"{DEV_EUI:016x}", "join_eui": str(JOIN_EUI), "lorawan_version": "1.0.4", "app_key": KEY.hex()}
    subprocess.run([program, "device", "import", "-", "--data", data, "--allow-weak-keys"], check=True,
                   input=json.dumps(line).encode(), capture_output=True)
    process = subprocess.Popen([program, "serve", "--data", data, "--listen", "127.0.0.1:0", "--allow-clear-keys"],
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        assert process.stdout is not None
        found = re.fullmatch(rb"listening on http://127\.0\.0\.1:(\d+)\n", process.stdout.readline())
        assert found
        yield int(found[1])
    finally:
        process.terminate()
        process.communicate()


def of_message(body: bytes) -> Any:
    """An answer without what is drawn for it."""
    try:
        answer = json.loads(body)
    except ValueError:
        return body
    for drawn in "SessionKeyID", "PHYPayload", "NwkSKey", "AppSKey":
        if drawn in answer:
            answer[drawn] = type(answer[drawn]).__name__
    return answer


def test_answers_as_the_daemon(server: lorajs.JoinServer, daemon_port: int) -> None:
    """Status, header and body of each request in turn."""
    app = asgi.app(server)
    for name, (method, body, headers) in REQUESTS.items():
        connection = http.client.HTTPConnection("127.0.0.1", daemon_port, timeout=PATIENCE)
        connection.request(method, "/", body, headers)
        theirs = connection.getresponse()
        their_body = theirs.read()
        chunks = [body[i:i + 10000] for i in range(0, len(body), 10000)] or [b""]
        ours = run(ask(app, *chunks, method=method, headers={**headers, "Content-Length": str(len(body))}))
        assert ours.status == theirs.status, name
        assert of_message(ours.body) == of_message(their_body), name
        for header in "content-type", "cache-control", "allow", "retry-after":
            assert ours.headers.get(header) == theirs.getheader(header), (name, header)
        assert method == "HEAD" or int(ours.headers["content-length"]) == len(ours.body), name
    assert {status for status in (200, 400, 405, 413)} == {
        run(ask(app, body, method=method)).status for method, body, _ in REQUESTS.values()}


def test_too_long_without_a_length(server: lorajs.JoinServer) -> None:
    """Chunked: the limit is found while reading, and what follows is read for the sake of the answer."""
    app = asgi.app(server, body_limit=100)
    assert run(ask(app, b" " * 60, b" " * 40)).status == 400
    answer = run(ask(app, b" " * 60, b" " * 41, b"more"))
    assert answer.status == 413 and answer.headers["connection"] == "close"
    assert result(answer.body) == "MalformedRequest"


def test_no_end_is_cut_off(server: lorajs.JoinServer) -> None:
    taken = 0

    async def endless() -> dict:
        nonlocal taken
        taken += 1
        return {"type": "http.request", "body": b" " * (1 << 20), "more_body": True}

    assert run(ask(asgi.app(server), *[endless] * 1000)).status == 413
    assert taken < 20


def test_who_waits_for_a_word_is_refused_before_the_body(server: lorajs.JoinServer) -> None:
    async def never() -> dict:
        raise AssertionError("the body was asked for")

    for length in "65537", "1000000", "9" * 5000:
        headers = {"Content-Length": length, "Expect": "100-continue"}
        assert run(ask(asgi.app(server), never, headers=headers)).status == 413
    assert run(ask(asgi.app(server), never, method="PUT", headers={"Expect": "100-continue"})).status == 405


def test_who_closes_in_the_middle_of_a_body_changes_nothing(server: lorajs.JoinServer) -> None:
    before, body = server.record(DEV_EUI), join_request(1)
    for cut in 0, 1, len(body) // 2, len(body):
        answer = run(ask(asgi.app(server), body[:cut], whole=False))
        assert not answer.events and server.record(DEV_EUI) == before


def test_a_slow_body_is_not_waited_for(server: lorajs.JoinServer) -> None:
    async def drip() -> dict:
        await asyncio.sleep(0.02)
        return {"type": "http.request", "body": b" ", "more_body": True}

    begun = time.monotonic()
    answer = run(ask(asgi.app(server, timeout=0.2), *[drip] * 100000))
    assert answer.status == 408 and answer.headers["connection"] == "close" and time.monotonic() - begun < 30
    assert run(ask(asgi.app(server, timeout=None), *[drip] * 3, b"{}")).status == 200


def test_other_protocols(server: lorajs.JoinServer) -> None:
    events: list[dict] = []

    async def receive() -> dict:
        return {"type": "websocket.connect"}

    async def send(event: dict) -> None:
        events.append(event)

    run(asgi.app(server)({"type": "websocket"}, receive, send))
    assert [event["type"] for event in events] == ["websocket.close"]
    with pytest.raises(NotImplementedError):
        run(asgi.app(server)({"type": "carrier pigeon"}, receive, send))


@pytest.mark.parametrize("wrong", [{"body_limit": 0}, {"queue": 0}, {"batch": 0}, {"workers": 0}, {"flush": 0}])
def test_numbers_out_of_their_range(server: lorajs.JoinServer, wrong: dict) -> None:
    with pytest.raises(ValueError):
        asgi.app(server, **wrong)


def test_any_body_in_any_chunks_is_answered_as_by_handle(server: lorajs.JoinServer) -> None:
    app, loop = asgi.app(server), asyncio.new_event_loop()
    members = st.dictionaries(
        st.sampled_from(["MessageType", "SenderID", "DevEUI", "PHYPayload", "ProtocolVersion", "RxDelay", "Odd"]),
        st.one_of(st.text(max_size=20), st.integers(), st.sampled_from(["1.1", "HomeNSReq", "AppSKeyReq"])), max_size=2)
    seen: set[str] = set()

    @settings(max_examples=300, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.integers(0, 65535), members, st.binary(max_size=3), st.integers(0, 400), st.lists(st.integers(0, 400)))
    def law(nonce: int, odd: dict, torn: bytes, where: int, cuts: list[int]) -> None:
        body = join_request(nonce, **odd)
        body = body[:where] + torn + body[where + len(torn):]
        at = [0, *sorted(min(cut, len(body)) for cut in cuts), len(body)]
        answer = loop.run_until_complete(ask(app, *(body[a:b] for a, b in zip(at, at[1:]))))
        try:  # a request that was answered with a session is answered with the same one again
            assert (answer.status, answer.body) == (200, server.handle(body))
        except lorajs.MessageError:
            assert answer.status == 400
        seen.add(result(answer.body))

    try:
        law()
        loop.run_until_complete(app.aclose())
    finally:
        loop.close()
    assert {"Success", "MalformedRequest"} < seen


# ---- who asks --------------------------------------------------------------------


@pytest.fixture
def peered() -> Iterator[lorajs.JoinServer]:
    """Nobody is answered but the peer "home", the network server of 000013."""
    with lorajs.JoinServer(lorajs.Vault.generate(), lorajs.Store.memory()) as server:
        add_device(server)
        server.set_peers([lorajs.Peer("home", net_ids=(0x13,), clear=lorajs.Clear.NS),
                          lorajs.Peer("else", net_ids=(0x14,))])
        yield server


def test_without_a_peer_nobody_is_answered(peered: lorajs.JoinServer) -> None:
    before = peered.record(DEV_EUI)
    answer = run(ask(asgi.app(peered), join_request(1)))
    assert (answer.status, result(answer.body)) == (200, "UnknownSender") and peered.record(DEV_EUI) == before


@pytest.mark.parametrize("name, expected", [
    ("home", "Success"), ("else", "UnknownSender"), ("stranger", "UnknownSender"), (None, "UnknownSender"),
    ("", "UnknownSender"), ("home\0", "UnknownSender"), ("\udc80", "UnknownSender"), ("x" * 1000, "UnknownSender")])
def test_the_peer_is_whom_the_transport_names(peered: lorajs.JoinServer, name: str | None, expected: str) -> None:
    answer = run(ask(asgi.app(peered, peer=lambda scope: name), join_request(1)))
    assert answer.status == 200 and result(answer.body) == expected


@pytest.mark.parametrize("name", ["", "stranger", "\0", "\udc80"])
def test_a_name_that_is_unknown_is_not_anonymous(server: lorajs.JoinServer, name: str) -> None:
    assert result(run(ask(asgi.app(server, peer=lambda scope: name), join_request(1))).body) == "UnknownSender"


def test_whom_certificate_or_header_do_not_name_is_not_anonymous(server: lorajs.JoinServer) -> None:
    for peer in (asgi.certificates({"00" * 32: "home"}), asgi.proxy_header("X-Client-DN", {"CN=ns": "home"})):
        for more in ({}, {"extensions": {"tls": {"client_cert_chain": [certificate()[0]]}}},
                     {"headers": {"X-Client-DN": "CN=else"}}, {"headers": {"X-Client-DN": "CN=ns"}, "client": None}):
            answer = run(ask(asgi.app(server, peer=peer), join_request(1), **more))
            assert result(answer.body) == "UnknownSender", more


def test_a_peer_function_that_fails(peered: lorajs.JoinServer, caplog: pytest.LogCaptureFixture) -> None:
    def fail(scope: object) -> str:
        raise LookupError("no such certificate")

    answer = run(ask(asgi.app(peered, peer=fail), join_request(1)))
    assert answer.status == 500 and json.loads(answer.body) == {
        "Result": {"ResultCode": "Other", "Description": "internal error"}}
    assert "no such certificate" in caplog.text
    answer = run(ask(asgi.app(peered, peer=lambda scope: 5), join_request(1)))  # type: ignore[arg-type,return-value]
    assert answer.status == 500


def test_a_proxys_header(peered: lorajs.JoinServer) -> None:
    app = asgi.app(peered, peer=asgi.proxy_header("X-Client-DN", {"CN=ns": "home"}, proxies=["10.0.0.1"]))

    def code(headers: dict[str, str], client: tuple[str, int] | None) -> str:
        return result(run(ask(app, join_request(1), headers=headers, client=client)).body)

    proxy, good = ("10.0.0.1", 1), {"X-Client-DN": "CN=ns"}
    assert code(good, ("127.0.0.1", 1)) == code(good, None) == "UnknownSender"
    assert code({}, proxy) == code({"X-Client-DN": "CN=else"}, proxy) == code({"X-Client-DN": ""}, proxy) == "UnknownSender"
    assert code(good, proxy) == "Success"

    async def twice() -> Answer:
        return await ask(app, join_request(1), client=proxy,
                         **{"headers": {"X-Client-DN": "CN=ns", "x-client-dn": "CN=ns"}})

    assert result(run(twice()).body) == "UnknownSender"


def certificate(common_name: str = "ns") -> tuple[str, str, str]:
    """(PEM, SHA-256, PEM of its key) of a certificate that somebody has signed for himself."""
    import datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)])
    begin = datetime.datetime(2020, 1, 1)
    made = (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
            .serial_number(x509.random_serial_number()).not_valid_before(begin)
            .not_valid_after(begin + datetime.timedelta(days=36500)).sign(key, hashes.SHA256()))
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                serialization.NoEncryption())
    return (made.public_bytes(serialization.Encoding.PEM).decode(), made.fingerprint(hashes.SHA256()).hex(":"),
            private.decode())


def test_certificates(peered: lorajs.JoinServer) -> None:
    (pem, pin, _), (other, _, _) = certificate(), certificate()
    app = asgi.app(peered, peer=asgi.certificates({pin.upper(): "home"}))

    def code(**tls: object) -> str:
        return result(run(ask(app, join_request(1), extensions={"tls": tls})).body)

    assert code() == code(client_cert_chain=[]) == code(client_cert_chain=[other]) == "UnknownSender"
    assert code(client_cert_chain=[other, pem]) == "UnknownSender"
    assert code(client_cert_chain=[pem], client_cert_error="expired") == "UnknownSender"
    assert code(client_cert_chain=[pem], client_cert_error=None) == "Success"
    assert result(run(ask(app, join_request(1))).body) == "UnknownSender"
    for wrong in "", "00", "zz" * 32, "00" * 33:
        with pytest.raises(ValueError):
            asgi.certificates({wrong: "home"})


def test_certificates_as_tls_shows_them(peered: lorajs.JoinServer, tmp_path: pathlib.Path) -> None:
    """A handshake, and the key that goes with the certificate, decide who asks."""
    made = {name: certificate(name) for name in ("server", "home", "else")}
    for name, (pem, _, key) in made.items():
        (tmp_path / name).write_text(pem + key)
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(tmp_path / "server")
    server_side.verify_mode = ssl.CERT_OPTIONAL
    server_side.load_verify_locations(cadata=made["home"][0] + made["else"][0])
    app = asgi.app(peered, peer=asgi.certificates({made["home"][1]: "home"}))
    with testing.serve(app, server_side) as url:
        for name, code in ("home", "Success"), ("else", "UnknownSender"), (None, "UnknownSender"):
            client_side = ssl.create_default_context(cadata=made["server"][0])
            client_side.check_hostname = False
            if name:
                client_side.load_cert_chain(tmp_path / name)
            with urllib.request.urlopen(url, join_request(1), PATIENCE, context=client_side) as answer:
                assert result(answer.read()) == code, name


# ---- an event loop that never waits -----------------------------------------------


class Held:
    """A SQLite store that somebody else is writing to until release(): commits wait for him, for 5 s at most."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path
        self.server = lorajs.JoinServer(lorajs.Vault.generate(), lorajs.Store.sqlite(path), **LAB)
        for i in range(40):
            add_device(self.server, DEV_EUI + i)
        self.holder = sqlite3.connect(path, isolation_level=None)
        self.holder.execute("BEGIN IMMEDIATE")

    def release(self) -> None:
        if self.holder.in_transaction:
            self.holder.execute("ROLLBACK")


@pytest.fixture
def held(tmp_path: pathlib.Path) -> Iterator[Held]:
    held = Held(tmp_path / "db")
    yield held
    held.release()
    held.holder.close()
    held.server.close()


async def until(what: Callable[[], bool]) -> None:
    while not what():
        await asyncio.sleep(0.002)


def waiting(server: aio.AsyncJoinServer) -> int:
    return len(server._waiting)


def test_the_loop_runs_while_the_store_waits(held: Held) -> None:
    async def main() -> tuple[int, Answer]:
        app = asgi.app(held.server)
        asked = asyncio.create_task(ask(app, join_request(1)))
        ticks, end = 0, time.monotonic() + 0.5
        while time.monotonic() < end or ticks <= 10:
            await asyncio.sleep(0.001)
            ticks += 1
        assert not asked.done()
        held.release()
        answer = await asked
        await app.aclose()
        return ticks, answer

    ticks, answer = run(main())
    assert ticks > 10 and result(answer.body) == "Success"


def test_more_than_may_wait_are_503(held: Held) -> None:
    async def main() -> None:
        app = asgi.app(held.server, workers=1, batch=1, queue=3)
        first = asyncio.create_task(ask(app, join_request(1)))
        await until(lambda: app.server._working == 1 and not waiting(app.server))
        rest = [asyncio.create_task(ask(app, join_request(1, DEV_EUI + i))) for i in range(1, 6)]
        refused = [answer for answer in await asyncio.gather(*rest[3:])]
        assert [answer.status for answer in refused] == [503, 503]
        assert refused[0].headers["retry-after"] == "1" and result(refused[0].body) == "Deferred"
        held.release()
        assert [result(answer.body) for answer in await asyncio.gather(first, *rest[:3])] == ["Success"] * 4
        assert (await ask(app, b"{}")).status == 200, "there is room again"
        await app.aclose()

    run(main())


def test_who_is_cancelled_while_waiting_takes_it_back(held: Held) -> None:
    """And whoever is cancelled later gets the same session when he asks again."""

    async def main() -> None:
        app = asgi.app(held.server, workers=1, batch=1)
        first = asyncio.create_task(ask(app, join_request(1)))
        await until(lambda: app.server._working == 1 and not waiting(app.server))
        second = asyncio.create_task(ask(app, join_request(1, DEV_EUI + 1)))
        third = asyncio.create_task(ask(app, join_request(1, DEV_EUI + 2)))
        await until(lambda: waiting(app.server) == 2)
        first.cancel()
        second.cancel()
        for task in first, second:
            with pytest.raises(asyncio.CancelledError):
                await task
        assert waiting(app.server) == 1
        held.release()
        assert result((await third).body) == "Success"
        await app.aclose()

    run(main())
    states = [held.server.device(DEV_EUI + i).state for i in range(3)]
    assert states == [lorajs.State.JOINED, lorajs.State.FRESH, lorajs.State.JOINED]
    assert result(held.server.handle(join_request(1))) == "Success", "the session that nobody heard of"
    assert held.server.device(DEV_EUI).sessions == 1


def test_what_was_accepted_is_answered_before_the_end(held: Held) -> None:
    async def main() -> None:
        app = asgi.app(held.server, workers=1, batch=2)
        asked = [asyncio.create_task(ask(app, join_request(1, DEV_EUI + i))) for i in range(9)]
        await until(lambda: app.server._working == 1 and waiting(app.server) >= 7)
        closing = asyncio.create_task(app.aclose())
        await until(lambda: app.server._closed)
        late = await ask(app, join_request(1, DEV_EUI + 20))
        assert late.status == 503 and not closing.done()
        held.release()
        await closing
        assert all(task.done() for task in asked)
        assert [result(task.result().body) for task in asked] == ["Success"] * 9
        with pytest.raises(lorajs.ClosedError):
            await app.server.handle(b"{}")

    run(main())
    assert held.server.device(DEV_EUI + 20).state is lorajs.State.FRESH


def test_lifespan(server: lorajs.JoinServer) -> None:
    app = asgi.app(server)

    async def live() -> list[str]:
        told: asyncio.Queue[dict] = asyncio.Queue()
        said: list[str] = []

        async def send(event: dict) -> None:
            said.append(event["type"])

        life = asyncio.create_task(app({"type": "lifespan", "asgi": {"version": "3.0"}}, told.get, send))
        await told.put({"type": "lifespan.startup"})
        await until(lambda: bool(said))
        assert (await ask(app, b"{}")).status == 200
        assert result((await ask(app, join_request(1, key=bytes(range(2, 18))))).body) == "MICFailed"
        await told.put({"type": "lifespan.shutdown"})
        await life
        assert (await ask(app, b"{}")).status == 503
        return said

    for _ in range(2):  # what was shut down may be started again
        assert run(live()) == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert [decision.error for decision in server.decisions(DEV_EUI)] == ["MIC"], "written at the end"


def test_one_application_in_many_loops(server: lorajs.JoinServer) -> None:
    app, failed = asgi.app(server), []

    def loop_of_its_own(start: int) -> None:
        async def main() -> None:
            for nonce in range(start, 600, 6):
                if (await ask(app, join_request(nonce))).status != 200:
                    failed.append(nonce)

        run(main())

    threads = [threading.Thread(target=loop_of_its_own, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert not failed and server.count(lorajs.MessageType.JOIN_REQ) > 0
    run(app.aclose())


def test_each_loop_has_one_timer(server: lorajs.JoinServer) -> None:
    """However often they take turns."""
    handler = aio.AsyncJoinServer(server, flush=3600)
    loops = [asyncio.new_event_loop() for _ in range(2)]
    flushes = []
    for loop in loops:
        def later(delay: float, callback: Callable[..., object], *args: object, **more: Any) -> asyncio.TimerHandle:
            if delay == 3600:
                flushes.append(delay)
            return plain(delay, callback, *args, **more)

        plain, loop.call_later = loop.call_later, later  # type: ignore[method-assign]
    for nonce in range(4):
        for loop in loops:
            loop.run_until_complete(handler.handle(join_request(nonce)))
    loops[0].run_until_complete(handler.aclose())
    for loop in loops:
        loop.close()
    assert len(flushes) == len(loops)


def test_a_loop_that_is_gone_harms_nobody(held: Held) -> None:
    """It was closed while its message was with the store."""
    app = asgi.app(held.server)
    loop = asyncio.new_event_loop()
    task = loop.create_task(ask(app, join_request(1)))
    loop.run_until_complete(until(lambda: app.server._working == 1 and not waiting(app.server)))
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        loop.run_until_complete(task)
    loop.close()
    held.release()
    assert result(run(ask(app, join_request(1, DEV_EUI + 1))).body) == "Success"
    run(app.aclose())


# ---- a store of one's own ---------------------------------------------------------


class DictStore(lorajs.StoreBase):
    """Over a dict, with what a test wants to happen in between."""

    def __init__(self) -> None:
        self.values: dict[bytes, tuple[bytes, int]] = {}
        self.versions = 0
        self.lock = threading.Lock()
        self.commits: list[int] = []  # groups in each
        self.before_commit: Callable[[], None] = lambda: None
        self.before_get: Callable[[bytes], None] = lambda key: None

    def get(self, key: bytes) -> tuple[bytes, int] | None:
        self.before_get(key)
        with self.lock:
            return self.values.get(key)

    def commit(self, groups: Sequence[Sequence[lorajs.Change]]) -> list[lorajs.Outcome]:
        self.before_commit()
        with self.lock:
            self.commits.append(len(groups))
            return [self.apply(group) for group in groups]

    def apply(self, group: Sequence[lorajs.Change]) -> lorajs.Outcome:
        if any(self.values.get(change.key, (b"", 0))[1] != change.if_version for change in group):
            return lorajs.Outcome.CONFLICT
        for change in group:
            self.versions += 1
            if change.value is None:
                del self.values[change.key]
            else:
                self.values[change.key] = change.value, self.versions
        return lorajs.Outcome.DONE

    def each(self, prefix: bytes) -> list[bytes]:
        with self.lock:
            return sorted(key for key in self.values if key.startswith(prefix))


@pytest.fixture
def own() -> Iterator[tuple[lorajs.JoinServer, DictStore]]:
    store = DictStore()
    with lorajs.JoinServer(lorajs.Vault.generate(), store, **LAB) as server:
        for i in range(64):
            add_device(server, DEV_EUI + i)
        store.commits.clear()
        yield server, store


def test_a_slow_store_in_python_stops_no_loop(own: tuple[lorajs.JoinServer, DictStore]) -> None:
    """It sleeps half a second in each commit: the loop goes on, and who asks meanwhile shares the next commit."""
    server, store = own
    store.before_commit = lambda: time.sleep(0.5)

    async def main() -> tuple[int, list[Answer]]:
        app = asgi.app(server, workers=1)
        tasks = [asyncio.create_task(ask(app, join_request(1)))]
        await until(lambda: app.server._working == 1 and not waiting(app.server))
        tasks += [asyncio.create_task(ask(app, join_request(1, DEV_EUI + i))) for i in range(1, 41)]
        everything, ticks = asyncio.gather(*tasks), 0
        while not everything.done():
            await asyncio.sleep(0.005)
            ticks += 1
        await app.aclose()
        return ticks, everything.result()

    ticks, answers = run(main())
    assert [result(answer.body) for answer in answers] == ["Success"] * 41
    assert sum(store.commits) == 41 and len(store.commits) < 8 and ticks > 10


def test_decisions_are_written_in_between(own: tuple[lorajs.JoinServer, DictStore]) -> None:
    """Also when they are made later than `flush` seconds after they were asked for."""
    server, store = own
    store.before_get = lambda key: time.sleep(0.05)

    async def main() -> None:
        handler = aio.AsyncJoinServer(server, flush=0.01)
        for i in range(3):
            await handler.handle(join_request(1, DEV_EUI + i, key=bytes(range(2, 18))))
            await until(lambda: bool(server.decisions(DEV_EUI + i)))
        await handler.aclose()

    run(main())


def test_what_a_store_raises_reaches_its_owner_and_the_log(own: tuple[lorajs.JoinServer, DictStore],
                                                           caplog: pytest.LogCaptureFixture) -> None:
    server, store = own

    def fail() -> None:
        raise ConnectionError("the database is away")

    async def main() -> None:
        handler = aio.AsyncJoinServer(server)
        app = asgi.app(handler)
        store.before_commit = fail
        answer = await ask(app, join_request(1))
        assert (answer.status, result(answer.body)) == (200, "Other")
        assert json.loads(answer.body)["TransactionID"] == 1 and b"database" not in answer.body
        with pytest.raises(ConnectionError, match="the database is away"):
            await handler.handle(join_request(1))
        store.before_commit = lambda: None
        assert result(await handler.handle(join_request(1))) == "Success"
        await handler.aclose()

    run(main())
    [record] = [record for record in caplog.records if record.name == "lorajs.asgi"]
    assert record.exc_info and isinstance(record.exc_info[1], ConnectionError)


def test_what_a_store_raises_is_of_the_message_it_raised_for(own: tuple[lorajs.JoinServer, DictStore]) -> None:
    """In a batch: the others are answered."""
    server, store = own
    bad = store.each(b"")
    hold = threading.Event()

    def before_get(key: bytes) -> None:
        if key == wanted:
            raise KeyError("a damaged row")

    [wanted] = [key for key in bad if key.endswith((DEV_EUI + 2).to_bytes(8, "big"))]

    async def main() -> list[object]:
        handler = aio.AsyncJoinServer(server, workers=1)
        store.before_commit = lambda: hold.wait(PATIENCE) and None
        first = asyncio.create_task(handler.handle(join_request(1)))
        await until(lambda: handler._working == 1 and not waiting(handler))
        store.before_get = before_get
        rest = [asyncio.create_task(handler.handle(join_request(1, DEV_EUI + i))) for i in range(1, 5)]
        await until(lambda: waiting(handler) == 4)
        hold.set()
        outcomes = await asyncio.gather(first, *rest, return_exceptions=True)
        await handler.aclose()
        return outcomes

    outcomes = run(main())
    assert isinstance(outcomes[2], KeyError)
    assert [result(o) for o in outcomes if isinstance(o, bytes)] == ["Success"] * 4


class Odd(Exception):
    """Which cannot be made of its args."""

    def __init__(self, *, table: str) -> None:
        super().__init__(f"of {table}")
        self.table = table


class Stubborn(Exception):
    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("not to be copied")


@pytest.mark.parametrize("wrong", [
    ConnectionError(111, "the database is away"), Odd(table="devices"), KeyError("row"), SystemExit(3),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), lorajs.errors.error(lorajs.Code.STORE)], ids=repr)
def test_each_of_many_gets_its_own_exception(wrong: BaseException) -> None:
    """Of one commit that failed: who raises an exception writes into it, and no traceback grows by those of others."""
    outcomes = failed_together(wrong)
    assert len({id(exc) for exc in outcomes}) == len(outcomes) == 8
    for exc in outcomes:
        assert type(exc) is type(wrong) and str(exc) == str(wrong) and exc.args == wrong.args
        assert {**vars(exc)} == {**vars(wrong)} and getattr(exc, "code", None) == getattr(wrong, "code", None)
        names = [frame.name for frame in traceback.extract_tb(exc.__traceback__)]
        assert names.count("handle") == 1 and names[-1] == "fail" and isinstance(exc.__cause__, ZeroDivisionError)


class Frozen(Exception):
    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(name)


@pytest.mark.parametrize("wrong", [Stubborn("mine"), Frozen("mine")], ids=repr)
def test_an_exception_that_cannot_be_copied_is_the_same_for_all(wrong: Exception) -> None:
    outcomes = failed_together(wrong)
    assert len(outcomes) == 8 and all(exc is wrong for exc in outcomes)


def test_no_traceback_has_the_answer_that_the_log_has_spoilt() -> None:
    """It may have keys in clear."""

    def log(decision: lorajs.Decision) -> None:
        raise LookupError("no log")

    async def main(server: lorajs.JoinServer) -> None:
        handler = aio.AsyncJoinServer(server)
        with pytest.raises(LookupError) as caught:
            await handler.handle(join_request(1))
        told = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
        assert "AESKey" not in "".join(told.format())
        await handler.aclose()

    with lorajs.JoinServer(lorajs.Vault.generate(), lorajs.Store.memory(), log=log, **LAB) as server:
        add_device(server, DEV_EUI)
        run(main(server))


def test_a_child_is_told_that_nobody_works_for_it(held: Held) -> None:
    """After a fork the threads are the parent's: the child would wait for ever."""
    held.release()
    handler = aio.AsyncJoinServer(held.server)

    async def main() -> bool:
        try:
            await asyncio.wait_for(handler.handle(join_request(2)), 5)
        except lorajs.Fault as fault:
            return fault.name == "STATE"
        return False

    assert result(run(handler.handle(join_request(1)))) == "Success"
    child = os.fork()
    if not child:
        os._exit(0 if asyncio.run(main()) else 1)
    assert os.waitpid(child, 0)[1] == 0
    run(handler.aclose())


def failed_together(wrong: BaseException) -> list[BaseException]:
    """What eight messages of one commit, which raises this, come to."""
    store, at_work, hold = DictStore(), threading.Event(), threading.Event()

    def fail() -> None:
        raise wrong from ZeroDivisionError()

    async def asked(handler: aio.AsyncJoinServer, i: int) -> BaseException:
        try:
            raise AssertionError(await handler.handle(join_request(1, DEV_EUI + i)))
        except BaseException as raised:
            return raised

    async def main(server: lorajs.JoinServer) -> list[BaseException]:
        handler = aio.AsyncJoinServer(server, workers=1)
        store.before_commit = lambda: at_work.set() or hold.wait(PATIENCE) and None
        first = asyncio.create_task(handler.handle(join_request(1)))
        await until(lambda: at_work.is_set() and not waiting(handler))
        rest = [asyncio.create_task(asked(handler, i)) for i in range(1, 9)]
        await until(lambda: waiting(handler) == 8)
        store.before_commit = lambda: fail() if hold.is_set() else hold.wait(PATIENCE) and None
        hold.set()
        outcomes = await asyncio.gather(*rest)
        await first
        store.before_commit = lambda: None
        await handler.aclose()
        return outcomes

    with lorajs.JoinServer(lorajs.Vault.generate(), store, **LAB) as server:
        for i in range(9):
            add_device(server, DEV_EUI + i)
        return run(main(server))


def test_nothing_waits_for_the_collector(own: tuple[lorajs.JoinServer, DictStore], caplog: pytest.LogCaptureFixture) -> None:
    """What a refusal had, a message among it, goes with it."""
    server, store = own

    def no_peer(scope: asgi.Scope) -> str:
        raise LookupError("no peer")

    async def main() -> None:
        app, lost = asgi.app(server), asgi.app(server, peer=no_peer)
        late = asgi.app(server, timeout=0.001)

        async def slow() -> dict:
            await asyncio.sleep(PATIENCE)
            return {}

        async def round() -> list[int]:
            asked = [await ask(app, b" " * 65537), await ask(app, b"{}", headers={"Content-Length": "65537"}),
                     await ask(app, b"{}", headers={"Content-Length": "65537", "Expect": "100-continue"}),
                     await ask(app, b"{}", method="PUT"), await ask(app, b"{"), await ask(app, join_request(1)),
                     await ask(lost, join_request(1)), await ask(app, b"{", whole=False)]
            return [answer.status for answer in asked]

        assert await round() == [413, 413, 413, 405, 400, 200, 500, 0]
        assert (await ask(late, slow)).status == 408
        caplog.clear()
        gc.collect()
        gc.disable()
        try:
            await round()
            await ask(late, slow)
            caplog.clear()
            gc.set_debug(gc.DEBUG_SAVEALL)
            gc.collect()
            assert [kept for kept in gc.garbage if isinstance(kept, BaseException)] == []
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()
        await app.aclose()

    run(main())


@pytest.mark.parametrize("wrong", [StopIteration("x"), SystemExit(3), KeyboardInterrupt()])
def test_odd_exceptions_end_no_worker(own: tuple[lorajs.JoinServer, DictStore], wrong: BaseException) -> None:
    server, store = own

    def fail() -> None:
        raise wrong

    async def main() -> None:
        handler = aio.AsyncJoinServer(server, workers=1)
        store.before_commit = fail
        err, answer, raised = await handler.outcome(join_request(1))
        assert raised is wrong
        store.before_commit = lambda: None
        assert result(await handler.handle(join_request(1))) == "Success"
        await handler.aclose()

    run(main())


def test_arguments_that_are_none_spoil_nobodys_batch(held: Held) -> None:
    async def main() -> None:
        handler = aio.AsyncJoinServer(held.server, workers=1)
        first = asyncio.create_task(handler.handle(join_request(1)))
        await until(lambda: handler._working == 1 and not waiting(handler))
        rest = [asyncio.create_task(handler.handle(join_request(1, DEV_EUI + 1))),
                asyncio.create_task(handler.handle(join_request(1, DEV_EUI + 2), peer="a\0b")),
                asyncio.create_task(handler.handle(join_request(1, DEV_EUI + 3), now=1 << 70)),
                asyncio.create_task(handler.handle(join_request(1, DEV_EUI + 4)))]
        await until(lambda: waiting(handler) == 4)
        held.release()
        outcomes = await asyncio.gather(first, *rest, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [bytes, bytes, ValueError, OverflowError, bytes]
        await handler.aclose()

    run(main())


class Gate:
    """Open at first; known is whether somebody stands before it."""

    def __init__(self) -> None:
        self.moved = threading.Condition()
        self.open, self.held = True, 0

    def pass_through(self) -> None:
        with self.moved:
            self.held += 1
            assert self.moved.wait_for(lambda: self.open, PATIENCE)
            self.held -= 1

    def move(self, open: bool) -> None:
        with self.moved:
            self.open = open
            self.moved.notify_all()

    def holds_one(self) -> bool:
        with self.moved:
            return not self.open and self.held > 0


@settings(max_examples=60, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.one_of(
    st.tuples(st.just("ask"), st.integers(0, 5)), st.tuples(st.just("cancel"), st.integers(0, 30)),
    st.tuples(st.just("turn"), st.integers(1, 3)), st.tuples(st.sampled_from(["hold", "go"]), st.just(0)),
), max_size=40), st.integers(1, 3), st.integers(1, 4))
def test_any_order_of_asking_and_cancelling(acts: list[tuple[str, int]], workers: int, batch: int) -> None:
    """Who was not cancelled is answered, once and with a session; who took it back in time never asked."""
    store, gate = DictStore(), Gate()
    server = lorajs.JoinServer(lorajs.Vault.generate(), store, **LAB)
    for i in range(6):
        add_device(server, DEV_EUI + i)
    store.before_commit = gate.pass_through
    nonces = [0] * 6
    asked: list[tuple[asyncio.Task[bytes], int, int]] = []
    taken_back: list[tuple[int, int]] = []

    async def main() -> None:
        handler = aio.AsyncJoinServer(server, workers=workers, batch=batch)
        for act, number in acts:
            if act == "ask":
                nonces[number] += 1
                message = join_request(nonces[number], DEV_EUI + number)
                asked.append((asyncio.create_task(handler.handle(message)), number, nonces[number]))
            elif act == "cancel" and number < len(asked):
                before, nobody_takes = waiting(handler), workers == 1 and gate.holds_one()
                asked[number][0].cancel()
                await asyncio.sleep(0)
                if nobody_takes and waiting(handler) < before:
                    taken_back.append(asked[number][1:])
            elif act == "turn":
                for _ in range(number):
                    await asyncio.sleep(0)
            elif act in ("hold", "go"):
                gate.move(act == "go")
        gate.move(True)
        outcomes = await asyncio.gather(*(task for task, _, _ in asked), return_exceptions=True)
        await handler.aclose()
        assert not handler._waiting and not handler._working
        for (task, _, _), outcome in zip(asked, outcomes):
            # One that was overtaken by a later nonce of its device is refused: batches of several workers do that.
            assert task.cancelled() or result(outcome) in ("Success", "JoinReqFailed")
            assert workers > 1 or task.cancelled() or result(outcome) == "Success"

    run(main())
    for number in range(6):
        sessions = lorajs.sessions(server.record(DEV_EUI + number))
        known = [session.nonce for session in sessions]
        assert len(set(known)) == len(known) and known == sorted(known, reverse=True)
        mine = [(task, nonce) for task, owner, nonce in asked if owner == number and not task.cancelled()]
        for task, nonce in mine[-8:] if workers == 1 else []:
            assert nonce in known or len(known) == 8
        assert not set(known) & {nonce for owner, nonce in taken_back if owner == number}
    server.close()


def test_messages_and_errors_come_out_of_an_async_server(server: lorajs.JoinServer) -> None:
    async def main() -> None:
        handler = aio.AsyncJoinServer(server)
        assert result(await handler.handle(join_request(1), now=1_700_000_000)) == "Success"
        assert lorajs.sessions(server.record(DEV_EUI))[0].at == 1_700_000_000
        with pytest.raises(lorajs.MessageError):
            await handler.handle(b"{")
        with pytest.raises(TypeError):
            await handler.handle("text")  # type: ignore[arg-type]
        server.close()
        with pytest.raises(lorajs.ClosedError):
            await handler.handle(b"{}")
        await handler.aclose()

    run(main())
    full = pickle.loads(pickle.dumps(aio.QueueFull()))
    assert isinstance(full, aio.QueueFull) and isinstance(full, lorajs.Refused) and full.name == "BUSY"
