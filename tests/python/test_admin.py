"""The administrative interface from Python, and that what it says of itself is what it is."""

from __future__ import annotations

import json
import pathlib
import re
import threading

import pytest

import lorajs
from lorajs.admin import AdminAnswer, AdminRequest, handle, routes
from lorajs.roles import AdminAct, Credential, Role, add_credential

NOW = 1_800_000_000
ROOT = pathlib.Path(__file__).resolve().parents[2]
LINE = {"dev_eui": "0102030405060708", "join_eui": "70b3d57ed0000000", "lorawan_version": "1.0.3",
        "nwk_key": "a7c1f36e58d90b42e6137cf85a2d9e04"}


def test_two_threads_take_turns() -> None:
    """The audit log is told who acts: of two at once, one would be taken for the other."""

    class Slow(lorajs.StoreBase):
        def __init__(self) -> None:
            self.values: dict[bytes, tuple[bytes, int]] = {}
            self.other: threading.Thread | None = None
            self.both = threading.Event()

        def get(self, key: bytes) -> tuple[bytes, int] | None:
            if threading.current_thread() is self.other:
                self.both.set()
            elif self.other and not self.other.ident:
                self.other.start()
                assert not self.both.wait(0.3), "both at once"
            return self.values.get(key)

        def commit(self, groups):  # type: ignore[no-untyped-def]
            for change in (change for group in groups for change in group):
                self.values[change.key] = change.value, change.if_version + 1
            return [lorajs.Outcome.DONE] * len(groups)

        def each(self, prefix: bytes) -> list[bytes]:
            return sorted(key for key in self.values if key.startswith(prefix))

    store = Slow()
    server = lorajs.JoinServer(lorajs.Vault.generate(), store)
    boss = add_credential(server, Credential("boss", Role(31)))
    other = store.other = threading.Thread(target=ask, args=(server, boss, "GET", "/v1/devices"))
    assert ask(server, boss, "GET", "/v1/devices").status == 200
    other.join()
    assert store.both.is_set()


@pytest.fixture
def server() -> lorajs.JoinServer:
    return lorajs.JoinServer(lorajs.Vault.generate(), lorajs.Store.memory())


def ask(server: lorajs.JoinServer, token: bytes, method: str, target: str, body: object = None,
        signer: lorajs.Key | None = None, **headers: str) -> AdminAnswer:
    request = AdminRequest(method, target, NOW, authorization=f"Bearer {token.decode()}",
                           content_type="" if body is None else "application/json", **headers)
    assert token.decode() not in repr(request)
    return handle(server, request, b"" if body is None else json.dumps(body).encode(), signer=signer)


def test_a_device_comes_and_goes(server: lorajs.JoinServer) -> None:
    boss = add_credential(server, Credential("boss", Role(31)))
    made = ask(server, boss, "POST", "/v1/devices", LINE, idempotency_key="1")
    assert (made.status, made.location, made.who) == (201, "/v1/devices/0102030405060708", "boss")
    assert ask(server, boss, "POST", "/v1/devices", LINE, idempotency_key="1") == made
    shown = ask(server, boss, "GET", made.location)
    assert shown.status == 200 and shown.type == "application/json" and LINE["nwk_key"] not in shown.body.decode()
    recipient, signer = lorajs.Key.generate(32), lorajs.Key.generate(32)
    sent = ask(server, boss, "POST", made.location + "/export", {"recipient": recipient.x25519_public().hex()}, signer)
    assert sent.status == 200 and sent.type == "application/octet-stream" and len(sent.body) > 200
    assert ask(server, boss, "DELETE", made.location, if_match=shown.etag).status == 412
    gone = ask(server, boss, "DELETE", made.location, if_match="*")
    assert (gone.status, gone.body, gone.type) == (204, b"", "")
    nobody = ask(server, b"ljs_boss_", "GET", made.location)
    assert nobody.status == 401 and json.loads(nobody.body)["code"] == "unauthorized" and nobody.who == ""


def test_routing(server: lorajs.JoinServer) -> None:
    line = lorajs.DeviceLine(json.dumps(LINE).encode())
    server.import_device(line)
    eui = line.device.dev_eui
    server.route(eui, lorajs.Routing(home_net_id=0x13, as_id="as.example", ns_kek_label="ns"))
    device = server.device(eui)
    assert (device.home_net_id, device.as_id, device.ns_kek_label, device.home_ns_id) == (0x13, "as.example", "ns", None)
    server.route(eui, lorajs.Routing(home_net_id=None, ns_kek_label=None, home_ns_id=7))
    device = server.device(eui)
    assert (device.home_net_id, device.as_id, device.ns_kek_label, device.home_ns_id) == (None, "as.example", "", 7)
    seen: list[int] = []
    server.each_device(seen.append, eui, eui)
    server.each_device(seen.append, eui + 1)
    assert seen == [eui]


def test_the_description_is_of_what_there_is() -> None:
    yaml = pytest.importorskip("yaml")
    described = {}
    for path, item in yaml.safe_load((ROOT / "docs/openapi.yaml").read_text())["paths"].items():
        for method, operation in item.items():
            if method in ("get", "put", "post", "patch", "delete"):
                described[f"{method.upper()} {path}"] = set(operation["x-roles"])
    there = {route: {(r.name or "").lower() for r in Role if act is None or r.allows(act)} for route, act in routes()}
    assert described == there
    assert {act for _, act in routes()} == {None, *AdminAct}


def names_of(node: dict, schemas: dict) -> set[str]:
    """Of all members of a schema, at whatever depth."""
    found: set[str] = set()
    while "$ref" in node:
        node = schemas[node["$ref"].rsplit("/", 1)[1]]
    for name, value in node.get("properties", {}).items():
        found |= {name} | names_of(value, schemas)
    return found | (names_of(node["items"], schemas) if "items" in node else set())


def test_the_description_has_each_code_and_member() -> None:
    """Codes of refusals, and members of bodies, as the tables of the code have them; each in both."""
    yaml = pytest.importorskip("yaml")
    described = yaml.safe_load((ROOT / "docs/openapi.yaml").read_text())
    schemas = described["components"]["schemas"]
    text = {name: (ROOT / name).read_text() for name in ("libjs/server/admin.c", "tools/admin.c", "libjs/codec/claims.c")}
    codes = {code for name in ("libjs/server/admin.c", "tools/admin.c")
             for code in re.findall(r'\{ 4\d\d, "([a-z-]+)"|\{ 5\d\d, "([a-z-]+)"', text[name]) for code in code if code}
    codes |= set(re.findall(r'answer_problem\([^"]*"([a-z-]+)"', text["tools/admin.c"]))
    assert codes == set(schemas["Problem"]["properties"]["code"]["enum"])

    rows = re.findall(r'^    \{ ((?:CLAIM_BODY|ROUTED)[A-Z_& |~]*), "(\w+)"', text["libjs/codec/claims.c"], re.M)
    kinds = {"CLAIM_BODY_CLAIM": "ClaimDevice", "CLAIM_BODY_TTJS": "TtjsClaim", "CLAIM_BODY_ACCEPT": "Accept",
             "CLAIM_BODY_OFFER": "Offer", "CLAIM_BODY_ENROL": "Enrol", "CLAIM_BODY_ACCOUNT": "NewAccount",
             "CLAIM_BODY_ASSIGN": "Assign", "CLAIM_BODY_CLAIMS": "Claims"}
    routed = {"CLAIM_BODY_CLAIM", "CLAIM_BODY_ACCEPT", "CLAIM_BODY_ASSIGN", "CLAIM_BODY_CLAIMS"}
    for kind, schema in kinds.items():
        members = {name for of, name in rows
                   if kind in re.findall(r"(?<!~)CLAIM_BODY_[A-Z]+", of) or (of.startswith("ROUTED") and kind in routed)}
        assert members == set(schemas[schema]["properties"]), schema
