"""Backend Interfaces over HTTP as an ASGI 3 application: what `lorajs serve` answers, inside yours.

    application = lorajs.asgi.app(server, peer=...)     # to be run by itself: uvicorn module:application
    fastapi_app.mount("/backend-interfaces", application)

It needs no framework.  POST on any path; the answer is always JSON:

    200   a message, and its answer: refusals are answers, and `Other` stands for a fault of the store
    400   no message at all
    405   another method
    408   the body did not arrive in time
    413   more than `body_limit` octets
    500   a fault that leaves nothing else to answer with
    503   as many messages wait already as may, or the application is shutting down

What a store or a `peer` of yours raises is in the log "lorajs.asgi".

Who asks is decided by `peer`, and without it by nobody: a JoinServer that is not `anonymous` then
refuses every request.  The event loop never waits for the store (see lorajs.aio)."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import ssl
import sys
import time
from typing import Any, Awaitable, Callable, Iterable, Mapping, MutableMapping

from . import native
from .aio import AsyncJoinServer, QueueFull
from .errors import ClosedError
from .server import JoinServer

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
PeerOf = Callable[[Scope], "str | None"]

_log = logging.getLogger("lorajs.asgi")
_DISCARD_MOST = 8 << 20  # of a body that is refused: who sends it should hear why
_NOBODY = "\n"  # no peer can have this name, and it is not taken for an absent one


class _Refusal(Exception):
    """An answer of HTTP's own."""

    def __init__(self, status: int, result: str, description: str, *headers: tuple[bytes, bytes]) -> None:
        super().__init__(status)
        self.status = status
        self.headers = headers
        self.body = json.dumps({"Result": {"ResultCode": result, "Description": description}},
                               separators=(",", ":")).encode()

    @classmethod
    def of(cls, status: int, code: int, *headers: tuple[bytes, bytes]) -> _Refusal:
        return cls(status, native.result_code(code, 10), native.strerror(code), *headers)


class _Gone(Exception):
    """The client has closed before its request was whole."""


def _header(scope: Scope, name: bytes) -> list[bytes]:
    return [value for key, value in scope["headers"] if key == name]


def _is_text(name: str) -> bool:
    try:
        return b"\0" not in name.encode()
    except UnicodeEncodeError:  # half a surrogate
        return False


# -- who asks


def certificates(pins: Mapping[str, str]) -> PeerOf:
    """Peers by their client certificates: {SHA-256 of the certificate, in hexadecimal: peer}.

    For a server that speaks TLS itself, asks for certificates and has ASGI's extension `tls`, which few
    have: before uvicorn as Debian 12 has it and before Hypercorn stands a proxy, see proxy_header().
    Whoever shows another certificate, or one that the server could not verify, is nobody.  ValueError for a digest that
    has not 64 digits; colons are taken."""
    peers = {bytes.fromhex(pin.replace(":", "")): peer for pin, peer in pins.items()}
    if any(len(pin) != 32 for pin in peers):
        raise ValueError("the SHA-256 of a certificate has 64 hexadecimal digits")

    def peer_of(scope: Scope) -> str | None:
        tls = (scope.get("extensions") or {}).get("tls") or {}
        chain = list(tls.get("client_cert_chain") or ())
        if not chain or tls.get("client_cert_error"):
            return _NOBODY
        return peers.get(hashlib.sha256(ssl.PEM_cert_to_DER_cert(chain[0])).digest(), _NOBODY)

    return peer_of


def proxy_header(name: str, peers: Mapping[str, str], *, proxies: Iterable[str] = ("127.0.0.1", "::1")) -> PeerOf:
    """Peers by a header that a reverse proxy sets: {its value: peer}, as of the certificate that the
    proxy has verified.

    It is believed only of clients whose address is one of `proxies`, and only when it stands there
    once.  The proxy must remove what its own clients say under that name.  Whoever comes another
    way, or under another value, is nobody."""
    key, known, trusted = name.lower().encode("latin-1"), dict(peers), frozenset(proxies)

    def peer_of(scope: Scope) -> str | None:
        values = _header(scope, key)
        if len(values) != 1 or not scope.get("client") or scope["client"][0] not in trusted:
            return _NOBODY
        return known.get(values[0].decode("latin-1"), _NOBODY)

    return peer_of


# -- the application


class Application:
    """See the module; made by app().

    Under a lifespan of its own it ends by itself.  Mounted, it is not told of the end: there whoever
    mounts it awaits aclose() when shutting down."""

    def __init__(self, server: AsyncJoinServer, peer: PeerOf | None, body_limit: int, timeout: float | None) -> None:
        self.server = server
        self._peer = peer
        self._body_limit = body_limit
        self._timeout = timeout

    async def aclose(self) -> None:
        """Answer what was accepted, then no more; write decisions()."""
        await self.server.aclose()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1002})
        else:
            raise NotImplementedError(f"ASGI scope of type {scope['type']!r}")

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while (await receive())["type"] == "lifespan.startup":
            self.server.reopen()
            await send({"type": "lifespan.startup.complete"})
        await self.aclose()
        await send({"type": "lifespan.shutdown.complete"})

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        status = 200
        headers: tuple[tuple[bytes, bytes], ...] = ()
        try:
            status, body = await self._answer(scope, await self._message(scope, receive))
        except _Gone:
            return
        except _Refusal as refusal:
            status, headers, body = refusal.status, refusal.headers, refusal.body
        await send({
            "type": "http.response.start",
            "status": status,
            "headers": [(b"content-type", b"application/json"), (b"cache-control", b"no-store"),
                        (b"content-length", b"%d" % len(body)), *headers],
        })
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    async def _answer(self, scope: Scope, message: bytes) -> tuple[int, bytes]:
        try:
            peer = self._peer(scope) if self._peer else None
            if peer is not None and not (peer and _is_text(peer)):
                peer = _NOBODY
            err, answer, raised = await self.server.outcome(message, peer=peer, now=int(time.time()))
        except (QueueFull, ClosedError):
            raise _Refusal.of(503, native.LJS_E_BUSY, (b"retry-after", b"1")) from None
        except Exception as exc:
            err, answer, raised = native.LJS_E_STATE, b"", exc
        try:
            if raised:
                _log.error("a request is answered with a fault", exc_info=raised)
            if not answer:
                raise _Refusal(500, "Other", "internal error") if raised else _Refusal.of(500, err)
            return 200 if not err else 400 if err == native.LJS_E_MESSAGE else 500, answer
        finally:
            del raised  # or the frame in its traceback has it, and both wait for the collector

    async def _message(self, scope: Scope, receive: Receive) -> bytes:
        """The body, whole."""
        refusal = None
        lengths = _header(scope, b"content-length")
        if scope["method"] != "POST":
            refusal = _Refusal(405, "MalformedRequest", "another method is wanted", (b"allow", b"POST"))
        elif any(length.isdigit() and (len(length) > 18 or int(length) > self._body_limit) for length in lengths):
            refusal = self._too_long()
        try:
            if refusal and _header(scope, b"expect"):
                raise refusal  # whoever waits for a word before the body gets this one
            if sys.version_info >= (3, 11):  # without a task for it
                async with asyncio.timeout(self._timeout):
                    return await self._body(receive, refusal)
            return await asyncio.wait_for(self._body(receive, refusal), self._timeout)
        except asyncio.TimeoutError:
            raise _Refusal(408, "MalformedRequest", "the message did not arrive in time",
                           (b"connection", b"close")) from None
        finally:
            del refusal

    def _too_long(self) -> _Refusal:
        return _Refusal(413, "MalformedRequest", "the message is too long", (b"connection", b"close"))

    async def _body(self, receive: Receive, refusal: _Refusal | None) -> bytes:
        parts: list[bytes] = []
        length, more = 0, True
        while more and length <= _DISCARD_MOST:
            event = await receive()
            if event["type"] != "http.request":
                raise _Gone
            part = event.get("body", b"")
            more = event.get("more_body", False)
            length += len(part)
            if length > self._body_limit:
                refusal = refusal or self._too_long()
            if refusal:
                parts.clear()
            else:
                parts.append(part)
        try:
            if refusal:
                raise refusal
            return b"".join(parts)
        finally:
            del refusal


def app(server: JoinServer | AsyncJoinServer, *, peer: PeerOf | None = None, body_limit: int = 65536,
        timeout: float | None = 10.0, queue: int = 1024, batch: int = 64, workers: int = 2,
        flush: float = 10.0) -> Application:
    """The ASGI application over a Join Server.

    `peer(scope)` gives the name of the peer that the transport vouches for, or None where it
    vouches for nobody; it must not wait.  See certificates() and proxy_header().
    `timeout` is what a body may take to arrive, in seconds; None for any time.
    The others are those of AsyncJoinServer, for a `server` that is none yet."""
    if body_limit < 1:
        raise ValueError("body_limit is at least 1")
    if isinstance(server, JoinServer):
        server = AsyncJoinServer(server, queue=queue, batch=batch, workers=workers, flush=flush)
    return Application(server, peer, body_limit, timeout)
