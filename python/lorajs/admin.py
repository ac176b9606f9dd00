"""The administrative interface without its HTTP: a request in, an answer out, under whatever serves HTTP for you.

docs/openapi.yaml of the project describes the requests; roles and credentials are in lorajs.roles."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from . import native
from .keys import Key, handles
from .manifest import Manifest
from .roles import AdminAct
from .server import JoinServer
from .shape import read, write


@dataclass(frozen=True, slots=True)
class AdminRequest:
    """One request; "" is a header that there was none of."""

    method: str
    target: str
    """Path and query, as they were sent."""
    now: int
    """Unix time in seconds."""
    authorization: str = ""
    """Of that header: "Bearer TOKEN"."""
    certificate: str = ""
    """A name in a client certificate that your transport has verified."""
    content_type: str = ""
    if_match: str = ""
    idempotency_key: str = ""

    def __repr__(self) -> str:  # without the token
        return f"<lorajs.admin.AdminRequest {self.method} {self.target}>"


@dataclass(frozen=True, slots=True)
class AdminAnswer:
    """What to send; "" is a header to leave out.  With a status of 401 send WWW-Authenticate: Bearer."""

    status: int
    type: str
    etag: str
    location: str
    allow: str
    who: str
    """Whose request it was, for your log; "" for nobody's."""
    body: bytes


@handles("signer")
def handle(server: JoinServer, request: AdminRequest, body: bytes = b"", *, signer: Key | None = None,
           manifest: Manifest | None = None) -> AdminAnswer:
    """Answer one request; refusals are answers too.  Several threads take turns at one server.

    signer    Ed25519, for exports; without it there are none
    manifest  whose signers, roots and JoinEUIs manifests are believed by; without it, Microchip's

    ValueError for a header longer than any that is looked at: 431 for your client."""
    try:
        req = write(native.admin_req(), request)
        if signer is not None:
            req.signer = signer.native
        if manifest is not None:
            req.manifest = manifest.native
        with server.acting:
            answer = native.admin_handle(server._open, req, body)
    finally:
        del body  # a traceback shows no key
    return read(AdminAnswer, answer)


def routes() -> Iterator[tuple[str, AdminAct | None]]:
    """What can be asked for, as "GET /v1/devices/{DevEUI}", and the act that it takes; None: any credential will do."""
    i = 0
    while route := native.admin_route(i):
        act = native.admin_route_act(i)
        yield route, AdminAct(act) if act else None
        i += 1
