"""Devices of manifests: registered and assigned by the program and over HTTP, joining once their keys are there, and
claimed with the word of their chips."""

from __future__ import annotations

import hashlib
import json
import sys
import time

import pytest

from conftest import REFUSED, ROOT, USAGE
from joins import Device, result
from test_serve_admin import Admin

sys.path.insert(0, str(ROOT / "tests"))
from cryptography.hazmat.primitives import hashes  # noqa: E402
from cryptography.hazmat.primitives.asymmetric import ec  # noqa: E402
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature  # noqa: E402
from manifests import JOIN_EUI, Chip, Maker, pem, point, text_of  # noqa: E402

ALL = "provision,claim,operate,export,audit"
HERE = {"home_net_id": "000013"}


class Delivery:
    """Three chips, one of which has no DevEUI, and an entry that was tampered with."""

    def __init__(self, folder) -> None:
        self.maker = Maker()
        self.chips = [Chip(self.maker, 1), Chip(self.maker, 2), Chip(self.maker, 3, "M")]
        entries = [self.maker.entry(self.maker.payload(chip)) for chip in self.chips]
        forged = self.maker.entry(self.maker.payload(Chip(self.maker, 4)))
        forged["signature"] = entries[0]["signature"]
        self.good, self.text = text_of(entries[:2]), text_of([*entries, forged])
        self.signers, self.roots = folder / "signers.pem", folder / "roots.pem"
        other = Maker()  # several in a file
        self.signers.write_text(pem(other.log) + pem(self.maker.log))
        self.roots.write_text(pem(self.maker.root) + pem(other.root))
        self.trust = ("--signer", self.signers, "--root", self.roots)
        (folder / "good.json").write_text(self.good)
        (folder / "all.json").write_text(self.text)

    def sign(self, n: int, digest: str) -> str:
        r, s = decode_dss_signature(self.chips[n].key.sign(bytes.fromhex(digest), ec.ECDSA(Prehashed(hashes.SHA256()))))
        return (r.to_bytes(32, "big") + s.to_bytes(32, "big")).hex()


@pytest.fixture
def delivery(tmp_path) -> Delivery:
    return Delivery(tmp_path)


@pytest.fixture
def server(run, data, serve, delivery):
    return serve("--allow-clear-keys", "--admin-listen", "127.0.0.1:0", "--manifest-signers", delivery.signers,
                 "--manifest-roots", delivery.roots)


@pytest.fixture
def admin(run, data, server, tmp_path) -> Admin:
    admin = Admin(run, data, server, tmp_path)
    admin.token("boss", ALL)
    for name in ("acme", "globex"):
        assert admin("POST", "/v1/accounts", {"name": name}).status == 201
        admin.token(f"{name}-1", "claim", "--account", name)
    return admin


def told(run, data, kind: str) -> list[dict]:
    rows = [json.loads(row) for row in run("audit", "show", "--data", data, "--json").stdout.splitlines()]
    return [row for row in rows if row["kind"] == kind]


def test_over_http(admin, delivery, server, run, tmp_path):
    first, second = (chip.dev_eui for chip in delivery.chips[:2])
    dry = admin("POST", "/v1/manifests?account=acme&dry_run=true", delivery.text)
    assert (dry.json["registered"], dry.json["refused"]) == (2, 2)
    refused = admin("POST", "/v1/manifests?account=acme&all_or_nothing=true", delivery.text)
    assert (refused.status, refused.code) == (422, "manifest-refused")
    assert refused.json["detail"].startswith("entry 2: it certifies no DevEUI")
    assert admin("GET", f"/v1/devices/{first}").status == 404
    assert not told(run, server.data, "manifest")

    done = admin("POST", "/v1/manifests?account=acme", delivery.text).json
    assert done["results"] == [
        {"index": 0, "unique_id": delivery.chips[0].unique_id, "dev_eui": first, "result": "registered", "assigned": True},
        {"index": 1, "unique_id": delivery.chips[1].unique_id, "dev_eui": second, "result": "registered", "assigned": True},
        {"index": 2, "unique_id": delivery.chips[2].unique_id, "code": "no-dev-eui",
         "detail": "it certifies no DevEUI: its operator gives one, by an import"},
        {"index": 3, "unique_id": done["results"][3]["unique_id"], "code": "refused", "verdict": "signature",
         "detail": "the signature is not the signer's of this entry"}]
    assert (done["registered"], done["refused"]) == (2, 2)
    assert done["sha256"] == hashlib.sha256(delivery.text.encode()).hexdigest()
    assert [(row["who"], row["text"], row["count"]) for row in told(run, server.data, "manifest")] == [
        ("boss", "acme sha256:" + done["sha256"][:48], 2)]
    assert [row["text"] for row in told(run, server.data, "chip")] == [c.unique_id for c in delivery.chips[:2]]
    again = admin("POST", "/v1/manifests?account=acme&all_or_nothing=true", delivery.good).json
    assert [row["result"] for row in again["results"]] == ["unchanged"] * 2
    owned = admin("POST", "/v1/manifests?account=globex", delivery.good).json
    assert [row["code"] for row in owned["results"]] == ["owned"] * 2

    assert admin("GET", f"/v1/claims/{first}", by="acme-1").json["account"] == "acme"
    chip = admin("GET", f"/v1/devices/{first}/chip", by="acme-1").json
    assert (chip["public_key"], chip["required"]) == (point(delivery.chips[0].key).hex(), False)
    assert admin("GET", f"/v1/devices/{first}/chip", by="globex-1").code == "no-such-device"
    assert admin("GET", "/v1/devices/0004a310ffffffff/chip").code == "no-such-chip"
    shown = admin("GET", f"/v1/devices/{first}", by="acme-1").json
    assert (shown["keys"], shown["state"], shown["join_eui"]) == ([], "fresh", JOIN_EUI)
    assert admin("POST", f"/v1/devices/{first}/export", {"recipient": "09" + 31 * "00"}).code in ("no-signing-key", "no-root-keys")

    # It cannot join before its keys are there, and can after; they come as to any device.
    device = Device(int(first, 16), int(JOIN_EUI, 16))
    assert result(server.ask(device.join())) == "JoinReqFailed"
    run("device", "import", "-", "--data", server.data, input=device.line())
    assert result(server.ask(device.join())) == "Success"
    assert admin("GET", f"/v1/claims/{first}").json["account"] == "acme"
    assert [s["dev_addr"] for s in admin("GET", f"/v1/devices/{first}", by="acme-1").json["sessions"]] == ["01020304"]
    log = f"/v1/devices/{first}/decisions"
    assert admin("GET", log + "?outcome=repeated&since=1", by="acme-1").json == {"decisions": []}
    assert admin("GET", log, by="globex-1").code == "no-such-device"
    for query in ("?outcome=all", "?since=x", "?more=1"):
        assert admin("GET", log + query, by="acme-1").code == "bad-request"
    run("audit", "verify", "--data", server.data)


NOT = [("?account=nobody", "[]", 404, "no-such-account"), ("?account=nobody", None, 404, "no-such-account"),
       ("?account=a%20b", "[]", 404, "no-such-account"), ("?chip=maybe", "[]", 400, "bad-request"),
       ("?dry_run=1", "[]", 400, "bad-request"), ("?lorawan_version=2", "[]", 400, "bad-request"),
       ("?more=1", "[]", 400, "bad-request"), ("", "{}", 422, "invalid-body"), ("", '[{"payload":', 422, "invalid-body"),
       ("", "[1]]", 422, "invalid-body"), ("", "[" + "1," * 1000 + "1]", 413, "too-long"),
       ("", "[" + "1," * 999 + "1]", 200, ""), ("", "[" + "[" * 100 + "]" * 100 + "]", 200, "")]


def test_what_is_no_manifest(admin, delivery):
    for target, body, status, code in NOT:
        answer = admin("POST", "/v1/manifests" + target, delivery.good if body is None else body)
        assert answer.status == status and (not code or answer.code == code), (target, answer)
    assert admin("GET", "/v1/devices").json["devices"] == []


def test_the_command(run, data, delivery, tmp_path):
    """Beside nothing: keys first for one device, the manifest first for the other."""
    first, second = (chip.dev_eui for chip in delivery.chips[:2])
    at, good = ("--data", data, *delivery.trust), tmp_path / "good.json"
    run("account", "add", "acme", "--data", data)
    run("device", "import", "-", "--data", data, input=Device(int(first, 16), int(JOIN_EUI, 16)).line())
    before = run("device", "show", first, "--data", data, "--json").stdout
    assert "would be registered" in run("manifest", "register", good, *at, "--dry-run").stdout
    done = run("manifest", "register", good, *at, "--account", "acme", "--chip", "required").stdout.splitlines()
    assert done == [f"{delivery.chips[0].unique_id}  {first}  chip kept, assigned to acme",
                    f"{delivery.chips[1].unique_id}  {second}  registered, assigned to acme",
                    "2 entries: 2 registered, 0 refused"]
    after = json.loads(run("device", "show", first, "--data", data, "--json").stdout)
    assert after == json.loads(before)
    assert json.loads(run("device", "show", second, "--data", data, "--json").stdout)["keys"] == []
    rows = [json.loads(row) for row in run("manifest", "register", tmp_path / "all.json", *at, "--json", code=REFUSED).stdout.splitlines()]
    assert [row.get("result") or row["code"] for row in rows[:4]] == ["unchanged", "unchanged", "no-dev-eui", "refused"]
    assert rows[4] == {"entries": 4, "registered": 2, "refused": 2}
    stopped = run("manifest", "register", tmp_path / "all.json", *at, "--all-or-nothing", code=REFUSED)
    assert "no DevEUI" in stopped.stderr and not stopped.stdout
    assert "twice" in run("manifest", "register", "-", *at, "--all-or-nothing", code=USAGE, input="[]").stderr
    assert "no account" in run("manifest", "register", good, *at, "--account", "nobody", code=REFUSED).stderr
    digest = hashlib.sha256(delivery.good.encode()).hexdigest()[:48]
    assert (f"acme sha256:{digest}", 2) in [(row["text"], row["count"]) for row in told(run, data, "manifest")]
    # What has no keys stays behind where keys leave, and by name it is refused.
    run("export", "--data", data, "--format", "lorajs", "--all", "--clear-keys", "--block", "--output", tmp_path / "out.jsonl")
    assert [json.loads(row)["dev_eui"] for row in (tmp_path / "out.jsonl").read_text().splitlines()] == [first]
    assert "root key" in run("export", second, "--data", data, "--format", "lorajs", "--clear-keys", "--output",
                             tmp_path / "none.jsonl", code=REFUSED).stderr
    run("audit", "verify", "--data", data)


def test_a_chip_has_a_word(admin, delivery, run, server, tmp_path):
    first, second = (chip.dev_eui for chip in delivery.chips[:2])
    admin("POST", "/v1/manifests?chip=required", delivery.good)
    at, token = f"/v1/claims/{first}", admin("POST", f"/v1/claims/{first}/owner-token", {}).json["owner_token"]

    def proof(n: int, account: str, eui: str = first) -> dict:
        given = admin("POST", f"/v1/claims/{eui}/challenge", by=f"{account}-1").json
        assert (given["dev_eui"], given["account"]) == (eui, account)
        octets = (b"lorajs chip claim 1\0" + bytes.fromhex(eui) + bytes.fromhex(given["challenge"]) + account.encode())
        assert given["digest"] == hashlib.sha256(octets).hexdigest()
        return {"challenge": given["challenge"], "signature": delivery.sign(n, given["digest"])}

    body = {"owner_token": token, **HERE}
    answers = [admin("PUT", at, body, by="acme-1"), admin("PUT", at, {**body, "chip": proof(1, "acme")}, by="acme-1"),
               admin("PUT", at, {**body, "chip": proof(0, "globex")}, by="acme-1"),
               admin("PUT", "/v1/claims/0004a310ffffffff", {**body, "chip": proof(0, "acme", "0004a310ffffffff")}, by="acme-1")]
    assert {(a.status, a.code, a.body) for a in answers} == {(403, "claim-refused", answers[0].body)}
    assert admin("PUT", at, {**body, "chip": {"challenge": "00"}}, by="acme-1").code == "invalid-body"
    assert admin("PUT", at, {**body, "chip": proof(0, "acme")}, by="acme-1").json["result"] == "claimed"

    # The Things Stack has no place for a proof: it claims no such device, with the right token either.
    token = admin("POST", f"/v1/claims/{second}/owner-token", {}).json["owner_token"]
    ttjs = admin("PUT", f"/api/v2/devices/{second}/claim",
                 {"ownerToken": token, "homeNetID": "000013", "asID": "as.acme", "lock": True}, by="acme-1")
    assert (ttjs.status, ttjs.json) == (403, {"message": "claim failed with given owner token"})

    # In a batch, and by the program.
    token = admin("POST", f"/v1/claims/{second}/owner-token", {}).json["owner_token"]
    item = {"dev_eui": second, "owner_token": token}
    for one, what in ((item, "claim-refused"), ({**item, "chip": proof(1, "acme", second)}, "claimed")):
        many = admin("POST", "/v1/claims", {"claims": [one], **HERE}, by="acme-1").json
        assert [row.get("result") or row["code"] for row in many["results"]] == [what]
    assert admin("DELETE", at, by="acme-1").status == 200
    (tmp_path / "token").write_text(run("claim", "enrol", first, "--data", server.data).stdout)
    own = (first, "--account", "globex", "--data", server.data)
    challenge, sign = run("claim", "challenge", *own).stdout.splitlines()
    given = json.loads(run("claim", "challenge", *own, "--json").stdout)
    assert set(given) == {"dev_eui", "account", "challenge", "digest", "expires"} and given["challenge"] != challenge
    (tmp_path / "chip").write_text(challenge + "\n" + delivery.sign(0, sign.removeprefix("sign ")) + "\n")
    claim = ("claim", "claim", *own, "--home-net-id", "000013", "--owner-token", tmp_path / "token")
    run(*claim, code=REFUSED)
    run(*claim, "--chip", tmp_path / "token", code=USAGE)
    assert run(*claim, "--chip", tmp_path / "chip").stdout == f"{first}: claimed\n"
    run("claim", "challenge", first, "--account", "nobody", "--data", server.data, code=REFUSED)

    # Whoever takes an offer shows it, too.
    assert admin("POST", at + "/offer", {"to": "acme", "until": 2**31}, by="globex-1").code == "invalid-body"
    assert admin("POST", at + "/offer", {"to": "acme", "until": int(time.time()) + 60}, by="globex-1").status == 200
    refused = [admin("POST", at + "/accept", body, by="acme-1") for body in (HERE, {**HERE, "chip": proof(1, "acme")})]
    assert [a.code for a in refused] == ["claim-refused"] * 2
    assert admin("POST", at + "/accept", {**HERE, "chip": proof(0, "acme")}, by="acme-1").json["result"] == "accepted"


def test_who_is_not_trusted(run, data, serve, delivery, tmp_path):
    """The daemon believes whom it is told to, and says what is no certificate."""
    server = serve("--allow-clear-keys", "--admin-listen", "127.0.0.1:0")
    admin = Admin(run, data, server, tmp_path)
    admin.token("boss", ALL)
    answer = admin("POST", "/v1/manifests", delivery.good).json
    assert [row["verdict"] for row in answer["results"]] == ["signer"] * 2
    (tmp_path / "none.pem").write_text("none\n")
    done = run("serve", "--data", data, "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--manifest-roots",
               tmp_path / "none.pem", code=REFUSED)
    assert "none.pem: not certificates of the kind" in done.stderr
