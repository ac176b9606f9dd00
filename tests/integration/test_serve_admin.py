"""The administrative interface over HTTP: who may what, pages, retries, and that no key comes out of it."""

from __future__ import annotations

import http.client
import json
import pathlib
import re
import threading
from typing import NamedTuple

import pytest

from conftest import FAILED, PATIENCE, USAGE, device_line
from openapi import check_answer, check_document
from test_serve_tls import Pki, context, pki  # noqa: F401  # a fixture

ROLES = ("provision", "claim", "operate", "export", "audit")
MARKER = "a7c1f36e58d90b42e6137cf85a2d9e04"  # a root key that was provisioned: never seen again
KEK = "5d20c8f1b3947a6ee80b1f5c4d3a9276"
EUI = 0x70b3d5499f000001
DEVICE = f"/v1/devices/{EUI:016x}"


class Answer(NamedTuple):
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> dict:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        assert self.headers["Content-Type"] == "application/problem+json"
        problem = self.json
        assert problem["status"] == self.status and problem["type"] == "about:blank" and problem["title"]
        return problem["code"]


class Admin:
    """A client of it, which keeps its connection and all that it was ever answered."""

    def __init__(self, run, data: pathlib.Path, server, tmp_path: pathlib.Path, context=None) -> None:
        found = server._wait_for(rb"^admin on (https?)://([^\s]*):(\d+)")
        self.host, self.port, self.context, self.heard = found[2].decode(), int(found[3]), context, b""
        self.run, self.data, self.tmp, self.tokens = run, data, tmp_path, {}
        self.connection: http.client.HTTPConnection | None = None

    def token(self, name: str, roles: str, *flags: object) -> str:
        file = self.tmp / f"{name}.token"
        self.run("role", "add", name, "--data", self.data, "--roles", roles, "--output", file, *flags)
        self.tokens[name] = file.read_text().strip()
        return self.tokens[name]

    def connect(self) -> http.client.HTTPConnection:
        if self.context:
            return http.client.HTTPSConnection(self.host, self.port, timeout=PATIENCE, context=self.context)
        return http.client.HTTPConnection(self.host, self.port, timeout=PATIENCE)

    def __call__(self, method: str, target: str, body: object = None, *, by: str | None = "boss",
                 **headers: str) -> Answer:
        sent = {k.replace("_", "-"): v for k, v in headers.items()}
        if by is not None:
            sent.setdefault("Authorization", f"Bearer {self.tokens.get(by, by)}")
        if body is not None and not isinstance(body, (bytes, str)):
            body = json.dumps(body)
        if body is not None:
            sent.setdefault("Content-Type", "application/json")
        self.connection = self.connection or self.connect()
        self.connection.request(method, target, body, sent)
        got = self.connection.getresponse()
        answer = Answer(got.status, got.headers, got.read())
        if got.headers["Connection"] == "close":
            self.connection.close()
        self.heard += str(got.headers).encode() + answer.body
        check_answer(method, target, *answer)
        return answer


@pytest.fixture
def server(run, data, serve):
    return serve("--allow-clear-keys", "--admin-listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0")


@pytest.fixture
def admin(run, data, server, tmp_path) -> Admin:
    admin = Admin(run, data, server, tmp_path)
    admin.token("boss", ",".join(ROLES))
    return admin


def line(eui: int = EUI, **more: object) -> dict:
    return json.loads(device_line(eui, **{"nwk_key": MARKER, **more}))


def metrics(server) -> str:
    port = int(server._wait_for(rb"^metrics on http://([^\s]*):(\d+)")[2])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    connection.request("GET", "/metrics")
    return connection.getresponse().read().decode()


def test_the_description_is_one():
    check_document()


def test_each_role_at_each_path(admin):
    """By a matrix written here; the table of roles.c is not asked."""
    rows = [("GET", "/v1/health", None, "all"), ("GET", "/v1/devices", None, "provision operate audit"),
            ("POST", "/v1/devices", {}, "provision"), ("GET", DEVICE, None, "all"), ("PATCH", DEVICE, {}, "claim"),
            ("DELETE", DEVICE, None, "provision"), ("POST", DEVICE + "/block", None, "operate"),
            ("POST", DEVICE + "/unblock", None, "operate"), ("POST", DEVICE + "/reset-nonces", None, "operate"),
            ("POST", DEVICE + "/export", {}, "export"), ("GET", DEVICE + "/decisions", None, "claim operate audit"),
            ("GET", "/v1/decisions", None, "operate audit"), ("GET", "/v1/audit", None, "audit"),
            ("GET", "/v1/keks", None, "provision claim operate audit"),
            ("GET", "/v1/keks/none", None, "provision claim operate audit"),
            ("PUT", "/v1/keks/none", {}, "provision"), ("DELETE", "/v1/keks/none", None, "provision"),
            ("GET", "/v1/lots", None, "provision operate audit")]
    for role in ROLES:
        admin.token(role, role)
    assert admin("POST", "/v1/devices", line()).status == 201
    for method, target, body, may in rows:
        for role in ROLES:
            answer = admin(method, target, body, by=role)
            if may == "all" or role in may.split():
                assert answer.status not in (401, 403, 405, 500), (method, target, role, answer)
            else:
                assert (answer.status, answer.code) == (403, "forbidden"), (method, target, role, answer)


def test_who_is_nobody_hears_the_same(admin, run, data, server):
    """Wrong, unknown, expired, removed, none: in answers alike.  Revocation is at once, on an open connection."""
    admin.token("gone", "audit")
    assert admin("GET", "/v1/devices", by="gone").status == 200
    run("role", "remove", "gone", "--data", data)
    boss = admin.tokens["boss"]
    nobody = ["gone", boss[:-1] + ("0" if boss[-1] != "0" else "1"), boss.replace("boss", "boat"), "x", ""]
    answers = [admin("GET", target, by=token) for token in nobody for target in ("/v1/devices",)]
    answers += [admin("GET", "/v1/nowhere", by=None), admin("GET", "/v1/devices", by=None, Authorization=f"Basic {boss}")]
    assert {(a.status, a.code, a.body, a.headers["WWW-Authenticate"]) for a in answers} == {
        (401, "unauthorized", answers[0].body, "Bearer")}
    assert 'lorajs_admin_answers_total{status="401"} 7\n' in metrics(server)


def test_tries_are_limited(admin, server):
    answers = [admin("GET", "/v1/health", by="wrong") for _ in range(40)]
    assert [a.status for a in answers[:10]] == [401] * 10 and answers[-1].status in (401, 429)
    limited = [a for a in answers if a.status == 429]
    assert len(limited) > 5 and limited[0].code == "too-many-tries" and limited[0].headers["Retry-After"] == "1"
    assert int(re.search(r'lorajs_admin_limited_total\{of="client"\} (\d+)', metrics(server))[1]) == len(limited)
    told = [admin("GET", "/api/v2/devices/70b3d5499f000001/claim", by="wrong") for _ in range(40)]
    assert any(a.status == 429 for a in told)  # The Things Stack hears that in its own words
    assert all(a.headers["Content-Type"] == "application/json" and set(a.json) == {"message"} for a in told)


def test_pages(admin, run, data):
    """A few here; tests/unit/test_server_admin.c turns the pages of a thousand, in a store that costs no disk."""
    run("device", "import", "-", "--data", data, input="\n".join(device_line(EUI + 29 * i) for i in range(40)))
    seen, cursor, pages = [], "", 0
    while True:
        page = admin("GET", f"/v1/devices?limit=12&cursor={cursor}").json
        seen += [row["dev_eui"] for row in page["devices"]]
        pages += 1
        if not (cursor := page.get("next_cursor", "")):
            break
    assert seen == [f"{EUI + 29 * i:016x}" for i in range(40)] and pages == 4
    some = admin("GET", "/v1/devices?limit=1000&prefix=70b3d5499f0001").json
    assert [row["dev_eui"] for row in some["devices"]] == [e for e in seen if e.startswith("70b3d5499f0001")] != []
    assert "next_cursor" not in some
    assert admin("GET", "/v1/devices?limit=1001").code == "bad-request"


def test_a_device_from_its_first_day_to_its_last(admin, run, data, server):
    made = admin("POST", "/v1/devices", line(as_id="as.example"))
    assert made.status == 201 and made.headers["Location"] == DEVICE
    shown = admin("GET", DEVICE)
    assert shown.json == json.loads(run("device", "show", f"{EUI:016x}", "--data", data, "--json").stdout)
    assert admin("PATCH", DEVICE, {"as_id": None}).code == "precondition-required"
    routed = admin("PATCH", DEVICE, {"as_id": None, "home_net_id": "000013"}, If_Match=shown.headers["ETag"])
    assert routed.status == 200 and routed.json["home_net_id"] == "000013" and "as_id" not in routed.json
    assert admin("PATCH", DEVICE, {}, If_Match=shown.headers["ETag"]).code == "changed"
    assert admin("POST", DEVICE + "/block").json == {"dev_eui": f"{EUI:016x}", "result": "blocked"}
    assert admin("POST", DEVICE + "/block").code == "wrong-state"
    assert admin("POST", DEVICE + "/unblock").status == 200
    assert admin("POST", DEVICE + "/reset-nonces").status == 200
    assert admin("GET", DEVICE + "/decisions").json == {"decisions": []}
    assert admin("DELETE", DEVICE, If_Match=shown.headers["ETag"]).code == "changed"
    assert admin("DELETE", DEVICE, If_Match=admin("GET", DEVICE).headers["ETag"]).status == 204
    assert admin("GET", DEVICE).json["state"] == "removed"
    assert admin("PUT", DEVICE, {}).headers["Allow"] == "GET, PATCH, DELETE"
    assert admin("TRACE", DEVICE).code == "method-not-allowed"
    assert admin("GET", "/v1/devices?" + "x" * 600).code == "target-too-long"
    assert admin("POST", "/v1/devices", b"{" + b" " * 600000 + b"}").code == "too-long"
    assert admin("GET", "/v1/health").json["status"] == "ready"


def test_the_audit_log_tells_who_did_it(admin, run, data):
    admin.token("eyes", "audit")
    admin("POST", "/v1/devices", line())
    admin("PATCH", DEVICE, {"as_id": "as.example"}, If_Match="*")
    admin("PUT", "/v1/keks/ns", {"key": KEK})
    assert admin("POST", DEVICE + "/block", by="eyes").status == 403
    told = [json.loads(row) for row in run("audit", "show", "--data", data, "--json").stdout.splitlines()]
    by = {(row["kind"], row.get("who")) for row in told}
    assert {("device-make", "boss"), ("route", "boss"), ("kek-put", "boss"), ("denied", "eyes")} <= by, by
    assert [row["text"] for row in told if row["kind"] == "denied"] == ["POST /v1/devices/{DevEUI}/block"]
    rows, cursor = [], ""
    while cursor is not None:  # the same over HTTP, in pages
        page = admin("GET", f"/v1/audit?limit=2{cursor}", by="eyes").json
        rows, cursor = rows + page["entries"], f"&cursor={page['next_cursor']}" if "next_cursor" in page else None
    assert sorted(map(json.dumps, rows)) == sorted(map(json.dumps, told))
    assert admin("GET", "/v1/audit", by="boss").status == 200
    run("audit", "verify", "--data", data)


def test_a_retry_after_a_lost_answer(admin, run, data, serve, server):
    """The daemon is killed after it answered; another one over the same data knows what was done."""
    key = {"Idempotency_Key": "f1d0"}
    made = admin("POST", "/v1/devices", line(), **key)
    assert made.status == 201
    server.kill()
    again = Admin(run, data, serve("--admin-listen", "127.0.0.1:0"), admin.tmp)
    again.tokens = admin.tokens
    answer = again("POST", "/v1/devices", line(), **key)
    assert (answer.status, answer.body, answer.headers["Location"]) == (201, made.body, DEVICE)
    assert again("POST", "/v1/devices", line(EUI + 1), **key).code == "idempotency-key-reused"
    assert again("POST", "/v1/devices", line()).code == "device-exists"
    assert len(again("GET", "/v1/devices").json["devices"]) == 1


def test_an_export(admin, run, data, serve, server, tmp_path):
    for kind in ("x25519", "ed25519"):
        run("key", "pair", kind, "--output", tmp_path / kind)
    recipient = (tmp_path / "x25519.pub").read_text().split()[1]
    assert admin("POST", "/v1/devices", line()).status == 201
    assert admin("POST", DEVICE + "/export", {"recipient": recipient}).code == "no-signing-key"
    server.stop()
    sender = Admin(run, data, serve("--admin-listen", "127.0.0.1:0", "--export-sign", tmp_path / "ed25519"), tmp_path)
    sender.token("out", "export")
    parcel = sender("POST", DEVICE + "/export", {"recipient": recipient, "block": True}, by="out")
    assert parcel.status == 200 and parcel.headers["Content-Type"] == "application/octet-stream"
    (tmp_path / "parcel").write_bytes(parcel.body)
    run("device", "receive", tmp_path / "parcel", "--key", tmp_path / "x25519", "--from", tmp_path / "ed25519.pub",
        "--data", tmp_path / "other")
    assert json.loads(run("device", "list", "--data", tmp_path / "other", "--json").stdout)["exposed"] is True
    assert sender("GET", DEVICE, by="out").json["state"] == "blocked"
    serve("--admin-listen", "127.0.0.1:0", data=tmp_path / "other")


def test_no_key_comes_out(admin, run, data, server, tmp_path):
    """A marker key, in every request that takes one or might be taken for one: never in an answer, a log, a metric."""
    admin("POST", "/v1/devices", line())
    for body in (line(), line(EUI + 1, nwk_key=MARKER + "0"), {**line(EUI + 1), "dev_eui": MARKER}, {MARKER: 1}, MARKER,
                 {"nwk_key": MARKER, "lorawan_version": MARKER}):
        admin("POST", "/v1/devices", body)
        admin("PATCH", DEVICE, body, If_Match="*")
        admin("POST", DEVICE + "/export", body)
        admin("PUT", "/v1/keks/ns", body)
    admin("PUT", "/v1/keks/ns", {"key": KEK})
    for target in (DEVICE, "/v1/devices", "/v1/keks", "/v1/keks/ns", DEVICE + "/decisions", "/v1/decisions", "/v1/audit", f"/v1/{MARKER}",
                   f"/v1/devices/{MARKER}", f"/v1/devices?prefix={MARKER}", f"/v1/devices?{MARKER}=1"):
        for method in ("GET", "DELETE", "PUT", "POST"):
            admin(method, target, If_Match=MARKER, Idempotency_Key=MARKER)
    admin("GET", DEVICE, by=MARKER)
    told = admin.heard.lower() + metrics(server).encode()
    server.stop()
    told += server.stderr().encode() + server.stdout
    for secret in (MARKER, KEK, admin.tokens["boss"].rsplit("_", 1)[1]):
        assert secret.encode() not in told and bytes.fromhex(secret) not in told
        for file in data.iterdir():
            assert secret.encode() not in file.read_bytes() and bytes.fromhex(secret) not in file.read_bytes()


def test_joins_go_on_during_a_flood(admin, run, data, server):
    """Eight clients ask as fast as they can, with a credential and without one; each join is answered meanwhile."""
    lines = run("simulate", "--devices", 16, "--provision").stdout
    run("device", "import", "-", "--data", data, input=lines)
    over, asked = threading.Event(), [0] * 8

    def flood(i: int) -> None:
        client = Admin.__new__(Admin)
        client.__dict__.update(admin.__dict__, connection=None, heard=b"")
        while not over.is_set():
            assert client("GET", "/v1/devices?limit=1", by="boss" if i % 2 else "x").status in (200, 401, 429, 503)
            asked[i] += 1

    threads = [threading.Thread(target=flood, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    try:
        while sum(asked) < 64:
            assert any(thread.is_alive() for thread in threads)
        before = sum(asked)
        done = run("simulate", "--devices", 16, "--joins", 2, "--url", server.url)
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert sum(asked) > before and "32" in done.stdout
    assert re.search(r'lorajs_requests_total\{type="JoinReq",result="OK"\} 32\n', metrics(server))


def test_a_certificate_is_a_credential(run, data, serve, server, tmp_path, pki):  # noqa: F811
    """By its common name, if client-ca has signed it and there is a credential of that name that is no token."""
    server.stop()
    tls = serve("--admin-listen", "127.0.0.1:0", "--tls-certificate", pki.server.pem, "--tls-key", pki.server.key_pem,
                "--client-ca", pki.ca.pem, "--peer", f'ns {{ certificate-cn = {{ "ns.acme.example" }} net-ids = {{ "000013" }} }}')
    run("role", "add", "boss.example", "--data", data, "--roles", "audit", "--certificate")
    boss, forged = pki.more("boss", signer=pki.ca, cn="boss.example"), pki.more("forged", cn="boss.example")
    for certificate, status in ((boss, 200), (forged, 401), (pki.named, 401), (None, 401)):
        client = Admin(run, data, tls, tmp_path, context(pki, certificate))
        client.host = "localhost"
        assert client("GET", "/v1/devices", by=None).status == status
    client = Admin(run, data, tls, tmp_path, context(pki, boss))
    client.host = "localhost"
    assert client("POST", "/v1/devices", line(), by=None).code == "forbidden"
    client.token("ops", "provision")
    assert client("POST", "/v1/devices", line(), by="ops").status == 201  # the token is what counts where there is one
    assert client("GET", "/v1/devices", by="x").status == 401
    run("role", "remove", "boss.example", "--data", data)
    assert client("GET", "/v1/devices", by=None).status == 401


def test_only_on_loopback_without_tls(run, data):
    for flags in (["--admin-listen", "0.0.0.0:0"], ["--admin-listen", "0.0.0.0:0", "--insecure"]):
        done = run("serve", "--data", data, "--listen", "127.0.0.1:0", *flags, code=USAGE)
        assert "--tls-certificate" in done.stderr and not data.exists()
    done = run("serve", "--data", data, "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--export-sign",
               data / "none", code=None)
    assert done.returncode in (FAILED, USAGE)
