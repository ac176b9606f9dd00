"""ASGI applications over HTTP and TLS, as far as tests need it."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Callable, Iterator


@contextlib.contextmanager
def serve(application: Callable[..., Any], tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """An ASGI application over HTTP on a free port of the loopback address, from threads of its own: its URL.

    With a context it speaks TLS, and has ASGI's extension `tls` as far as lorajs.asgi.certificates() needs it.
    For tests: a body has to have a Content-Length, and nothing is limited."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def __getattr__(self, name: str) -> Any:
            if name.startswith("do_"):
                return self._answer
            raise AttributeError(name)

        def log_message(self, format: str, *args: object) -> None:
            """Not to standard error."""

        def _extensions(self) -> dict[str, Any]:
            if not isinstance(self.connection, ssl.SSLSocket):
                return {}
            shown = self.connection.getpeercert(True)  # none unless it was verified
            chain = [ssl.DER_cert_to_PEM_cert(shown)] if shown else []
            return {"tls": {"client_cert_chain": chain, "client_cert_error": None}}

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            events = iter([{"type": "http.request", "body": body, "more_body": False}])

            async def receive() -> dict[str, Any]:
                return next(events, {"type": "http.disconnect"})

            async def send(event: dict[str, Any]) -> None:
                if event["type"] == "http.response.body":
                    self.wfile.write(event.get("body", b""))
                    return
                self.send_response(event["status"])
                for name, value in event["headers"]:
                    self.send_header(name.decode("latin-1"), value.decode("latin-1"))
                self.end_headers()

            path, _, query = self.path.partition("?")
            asyncio.run(application({
                "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1",
                "method": self.command, "scheme": "https" if tls else "http", "path": path, "raw_path": path.encode("latin-1"),
                "query_string": query.encode("latin-1"), "root_path": "",
                "headers": [(name.lower().encode("latin-1"), value.encode("latin-1"))
                            for name, value in self.headers.items()],
                "client": self.client_address, "server": self.server.server_address,
                "extensions": self._extensions()}, receive, send))

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        if tls:  # shakes hands with the first read, in the thread of the connection
            server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield f"{'https' if tls else 'http'}://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
