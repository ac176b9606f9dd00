"""Who owns a device, over HTTP: from the picture of a label to the next owner, and the four calls by which The Things
Stack claims devices."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import time

import pytest

from conftest import REFUSED, USAGE
from joins import Device, result
from test_serve_admin import Admin, admin, server  # noqa: F401  # fixtures

TOKEN = "C05EA29C"
HERE = {"home_net_id": "000013", "as_id": "as.acme"}
KEK = "5d20c8f1b3947a6ee80b1f5c4d3a9276"


@pytest.fixture
def market(admin):  # noqa: F811
    """Two accounts with a credential each, and one device that was brought in."""
    device = Device(0x70B3D5499F000001)
    for name in ("acme", "globex"):
        assert admin("POST", "/v1/accounts", {"name": name}).status == 201
        admin.token(f"{name}-1", "claim", "--account", name)
    assert admin("POST", "/v1/devices", json.loads(device.line())).status == 201
    admin.device, admin.at = device, f"/v1/claims/{device.dev_eui:016x}"
    return admin


def app_s_key(server, device: Device, session: dict, sender: str) -> str:  # noqa: F811
    return result(server.ask({"ProtocolVersion": "1.0", "SenderID": sender, "ReceiverID": f"{device.join_eui:016x}",
                              "TransactionID": 7, "MessageType": "AppSKeyReq", "DevEUI": f"{device.dev_eui:016x}",
                              "SessionKeyID": session["SessionKeyID"]}))


def refused(answer, status: int, code: str) -> None:
    assert (answer.status, answer.code) == (status, code), answer


def test_from_a_picture_to_ownership_and_on(market, run, server, tmp_path):  # noqa: F811
    """A label is printed, photographed and claimed; the device joins, is transferred, and the old owner is out."""
    device, at = market.device, market.at
    token = market("POST", at + "/owner-token", {}).json["owner_token"]
    assert len(token) == 16
    run("qr", "make", "--join-eui", f"{device.join_eui:016x}", "--dev-eui", f"{device.dev_eui:016x}", "--profile",
        "aabb1122", "--owner-token", "-", "--png", tmp_path / "label.png", input=token + "\n")
    text = subprocess.run(["zbarimg", "--quiet", "--raw", "--nodbus", tmp_path / "label.png"], stdout=subprocess.PIPE,
                          text=True, check=True).stdout.strip()
    claimed = market("POST", "/v1/claims", {"claims": [{"qr": text}], **HERE, "as_kek_label": "main",
                                            "kek": {"label": "main", "key": KEK}}, by="acme-1")
    assert claimed.json == {"results": [{"dev_eui": f"{device.dev_eui:016x}", "result": "claimed"}], "done": 1}
    shown = market("GET", at, by="acme-1").json
    assert (shown["state"], shown["account"], shown["locked"], shown["has_token"]) == ("claimed", "acme", True, False)
    assert market("GET", "/v1/keks", by="acme-1").json == {"keks": [{"label": "main", "bits": 128}]}
    assert market("GET", "/v1/keks", by="globex-1").json == {"keks": []}

    joined = server.ask(device.join())
    assert result(joined) == "Success" and joined["AppSKey"]["KEKLabel"] == "main"
    assert app_s_key(server, device, joined, "as.acme") == "Success"

    refused(market("POST", at + "/accept", {"home_net_id": "000060"}, by="globex-1"), 403, "claim-refused")
    offer = {"to": "globex", "until": int(time.time()) + 3600}
    refused(market("POST", at + "/offer", {**offer, "to": "acme"}, by="globex-1"), 403, "claim-refused")
    assert market("POST", at + "/offer", offer, by="acme-1", Idempotency_Key="o-1").json["result"] == "offered"
    assert market("POST", at + "/offer", offer, by="acme-1", Idempotency_Key="o-1").json["result"] == "offered"
    assert market("GET", at, by="globex-1").json["offered_to"] == "globex"
    taken = market("POST", at + "/accept", {"home_net_id": "000060", "as_id": "as.globex"}, by="globex-1")
    assert taken.json["result"] == "accepted"

    # At once: neither reads, releases, gets keys, nor activates who was the owner; nor does the label help him.
    refused(market("GET", at, by="acme-1"), 404, "no-such-device")
    refused(market("GET", f"/v1/devices/{device.dev_eui:016x}", by="acme-1"), 404, "no-such-device")
    refused(market("DELETE", at, by="acme-1"), 403, "claim-refused")
    refused(market("PUT", at, {"owner_token": token, **HERE}, by="acme-1"), 403, "claim-refused")
    assert app_s_key(server, device, joined, "as.acme") == "UnknownSender"
    assert result(server.ask(device.join())) == "ActivationDisallowed"
    joined = server.ask(device.join("000060"))
    assert result(joined) == "Success" and app_s_key(server, device, joined, "as.globex") == "Success"
    assert app_s_key(server, device, joined, "as.acme") == "UnknownSender"
    assert market("GET", f"/v1/devices/{device.dev_eui:016x}", by="globex-1").json["home_net_id"] == "000060"

    assert market("POST", at + "/suspend").json["result"] == "suspended"
    assert result(server.ask(device.join("000060"))) == "ActivationDisallowed"
    assert market("POST", at + "/resume").json["result"] == "resumed"
    assert result(server.ask(device.join("000060"))) == "Success"
    assert market("DELETE", at, by="globex-1").json["result"] == "released"
    assert market("GET", at).json["state"] == "provisioned"
    told = [json.loads(row) for row in run("audit", "show", "--data", server.data, "--json").stdout.splitlines()]
    assert [(row["kind"], row["who"], row.get("text")) for row in told if row["kind"] in ("claim", "offer", "accept", "release")] == [
        ("claim", "acme-1", "acme"), ("offer", "acme-1", "acme globex"), ("accept", "globex-1", "globex"),
        ("release", "globex-1", "globex")]
    run("audit", "verify", "--data", server.data)


def test_one_answer_for_unknown_wrong_and_taken(market):
    """To the last octet, whatever the reason; and then the limit, in as few words."""
    at = market.at
    market("POST", at + "/owner-token", {"owner_token": TOKEN})
    body = {"owner_token": TOKEN, **HERE}
    answers = [market("PUT", "/v1/claims/70b3d5499f00ffff", body, by="globex-1"),
               market("PUT", at, {**body, "owner_token": "00000000"}, by="globex-1")]
    assert market("PUT", at, body, by="acme-1").json["result"] == "claimed"
    answers.append(market("PUT", at, body, by="globex-1"))
    assert {(a.status, a.code, a.body) for a in answers} == {(403, "claim-refused", answers[0].body)}
    for _ in range(10):
        last = market("PUT", at, body, by="globex-1")
    refused(last, 429, "too-many-tries")
    assert market("PUT", at, HERE, by="acme-1").status == 200  # its owner still may


def test_the_command_line(market, run, server, tmp_path):  # noqa: F811
    """All of it beside the daemon, over the same data."""
    eui, other, data = f"{market.device.dev_eui:016x}", "70b3d5499f000002", ("--data", server.data)
    run("device", "import", "-", *data, input=Device(int(other, 16)).line())
    run("account", "add", "initech", *data)
    assert [json.loads(row)["account"] for row in run("account", "list", *data, "--json").stdout.splitlines()] == ["acme", "globex", "initech"]
    token = run("claim", "enrol", eui, *data).stdout.strip()
    assert run("claim", "enrol", other, *data, "--owner-token", "-", "--json", input=TOKEN + "\n").stdout == (
        '{"dev_eui":"%s","owner_token":"%s","result":"enrolled"}\n' % (other, TOKEN))
    (tmp_path / "token").write_text(token + "\n")
    own = ("--account", "acme", "--home-net-id", "000013", "--owner-token", tmp_path / "token")
    assert run("claim", "claim", eui, *own, *data, "--dry-run").stdout == f"{eui}: would be claimed\n"
    assert json.loads(run("claim", "show", eui, *data, "--json").stdout)["state"] == "unclaimed"
    assert run("claim", "claim", eui, *own, *data, "--as-id", "as.acme").stdout == f"{eui}: claimed\n"
    done = run("claim", "claim", other, *own, *data, code=REFUSED)
    assert "wrong owner token" in done.stderr and token not in done.stderr
    (tmp_path / "list").write_text(f"{eui}\n" + Device(int(other, 16)).line())
    for _ in range(2):
        done = run("claim", "assign", "--account", "acme", "--file", tmp_path / "list", *data, "--json")
        assert [json.loads(row) for row in done.stdout.splitlines()] == [{"dev_eui": e, "result": "assigned"} for e in (eui, other)]
    run("claim", "offer", eui, "--account", "acme", "--to", "globex", "--days", 2, *data)
    assert market("GET", market.at, by="globex-1").json["offered_to"] == "globex"
    run("claim", "withdraw", eui, "--account", "acme", *data)
    run("claim", "withdraw", eui, "--account", "acme", *data, code=REFUSED)
    run("claim", "offer", eui, other, "--account", "acme", "--to", "globex", *data)
    assert "needs --home-net-id" in run("claim", "accept", eui, "--account", "globex", *data, code=USAGE).stderr
    run("claim", "accept", eui, other, "--account", "globex", "--home-net-id", "000060", *data)
    assert market("GET", market.at, by="globex-1").json["account"] == "globex"
    run("claim", "suspend", eui, *data)
    run("claim", "resume", eui, *data)
    listed = run("claim", "list", "--account", "globex", *data).stdout
    assert listed.count("claimed") == 2 and "globex" in listed
    assert "owns devices" in run("account", "remove", "globex", *data, code=REFUSED).stderr
    run("claim", "release", eui, "--account", "globex", *data)
    run("claim", "retire", eui, other, *data)
    run("account", "suspend", "initech", *data)
    run("account", "resume", "initech", *data)
    run("account", "remove", "initech", *data, "--dry-run")
    run("account", "remove", "initech", *data)
    assert "no such account" in run("account", "suspend", "initech", *data, code=REFUSED).stderr
    run("role", "add", "x", "--roles", "claim,audit", "--account", "acme", "--output", tmp_path / "x", *data, code=USAGE)
    assert "no such account" in run("role", "add", "x", "--roles", "claim", "--account", "nobody", "--output",
                                    tmp_path / "x", *data, code=REFUSED).stderr
    assert '"account":"acme"' in run("role", "list", "--json", *data).stdout
    run("claim", "show", "70b3d5499f00ffff", *data, code=REFUSED)
    run("audit", "verify", *data)


def test_refusals_have_codes(market, run):
    at, boss = market.at, market
    refused(boss("PUT", at, {"owner_token": TOKEN, **HERE}), 403, "no-account")
    refused(boss("POST", at + "/owner-token", {"owner_token": "SHORT"}), 422, "weak-owner-token")
    refused(boss("POST", "/v1/claims/70b3d5499f00ffff/owner-token", {}), 404, "no-such-device")
    refused(boss("PUT", at, {"owner_token": "lower", **HERE}, by="acme-1"), 422, "invalid-body")
    refused(boss("PUT", at, {"owner_token": TOKEN}, by="acme-1"), 422, "invalid-body")  # whose network?
    refused(boss("POST", at + "/suspend", by="acme-1"), 403, "forbidden")
    refused(boss("POST", at + "/suspend"), 409, "wrong-claim-state")
    refused(boss("POST", "/v1/claims/70b3d5499f00ffff/suspend"), 404, "no-such-device")
    refused(boss("POST", "/v1/accounts", {"name": "acme"}), 409, "account-exists")
    refused(boss("POST", "/v1/accounts", {"name": "a b"}), 422, "invalid-body")
    refused(boss("DELETE", "/v1/accounts/acme"), 409, "account-in-use")
    refused(boss("GET", "/v1/accounts/nobody"), 404, "no-such-account")
    refused(boss("PATCH", f"/v1/devices/{boss.device.dev_eui:016x}", {"as_id": "x"}, by="acme-1", If_Match="*"), 403, "forbidden")
    devices = [f"{boss.device.dev_eui:016x}", "70b3d5499f00ffff"]
    for _ in range(2):  # asked twice, done once
        results = boss("POST", "/v1/accounts/acme/assign", {"devices": devices, "home_net_id": "000013"}).json
        assert results["done"] == 1 and results["results"][0] == {"dev_eui": devices[0], "result": "assigned"}
        assert results["results"][1]["code"] == "no-such-device"
    refused(boss("POST", "/v1/accounts/nobody/assign", {"devices": devices}), 404, "no-such-account")
    refused(boss("POST", "/v1/accounts/acme/assign", {"devices": devices * 2}), 422, "invalid-body")
    refused(boss("POST", "/v1/claims", {"claims": [{"dev_eui": devices[0], "owner_token": TOKEN}] * 2, **HERE}, by="acme-1"), 422, "invalid-body")
    refused(boss("PUT", "/v1/keks/%40nobody%2Fmain", {"key": KEK}), 404, "no-such-account")
    refused(boss("PUT", "/v1/keks/%40acme", {"key": KEK}), 400, "bad-request")
    assert boss("PUT", "/v1/keks/%40acme%2Fmain", {"key": KEK}).status == 204
    assert boss("GET", "/v1/keks", by="acme-1").json == {"keks": [{"label": "main", "bits": 128}]}
    assert boss("GET", "/v1/claims?account=acme").json["claims"][0]["dev_eui"] == devices[0]
    assert boss("GET", "/v1/claims", by="globex-1").json == {"claims": []}
    assert boss("POST", "/v1/accounts/acme/suspend").json["suspended"] is True
    refused(boss("DELETE", at, by="acme-1"), 403, "account-suspended")
    assert boss("POST", "/v1/accounts/acme/resume").json["suspended"] is False
    refused(boss("POST", at + "/offer", {"to": "nobody", "until": int(time.time()) + 60}, by="acme-1"), 404, "no-such-account")
    refused(boss("POST", at + "/withdraw", by="acme-1"), 409, "wrong-claim-state")
    assert boss("POST", at + "/retire").json["result"] == "retired"
    assert [a["name"] for a in boss("GET", "/v1/accounts").json["accounts"]] == ["acme", "globex"]


def test_what_an_account_owns(market, run, data):
    """By pages, over HTTP and beside it; nothing of somebody else, and an index that was cut is found and mended."""
    euis = [0x70B3D5499F000010 + i for i in range(5)]
    for eui in euis:
        assert market("POST", "/v1/devices", json.loads(Device(eui).line())).status == 201
    names = [f"{eui:016x}" for eui in euis]
    for account, mine in (("acme", names[1::2]), ("globex", names[::2])):
        assert market("POST", f"/v1/accounts/{account}/assign", {"devices": mine}).json["done"] == len(mine)
    first = market("GET", "/v1/devices?limit=2", by="globex-1").json
    rest = market("GET", f"/v1/devices?limit=2&cursor={first['next_cursor']}", by="globex-1").json
    assert [d["dev_eui"] for d in first["devices"] + rest["devices"]] == names[::2] and "next_cursor" not in rest
    assert [d["dev_eui"] for d in market("GET", "/v1/devices?account=acme").json["devices"]] == names[1::2]
    assert market("GET", "/v1/devices?account=acme", by="globex-1").json == {"devices": []}
    assert market("GET", f"/v1/devices?prefix={names[2]}", by="globex-1").json["devices"][0]["dev_eui"] == names[2]
    assert len(market("GET", "/v1/devices").json["devices"]) == 6
    assert market("GET", "/v1/devices?account=a%2Fb").status == 400

    offer = {"to": "globex", "until": int(time.time()) + 3600}
    assert market("POST", f"/v1/claims/{names[1]}/offer", offer, by="acme-1").status == 200
    assert len(market("GET", "/v1/devices", by="globex-1").json["devices"]) == 3  # offered is not owned
    assert len(market("GET", "/v1/claims", by="globex-1").json["claims"]) == 4
    assert market("POST", f"/v1/claims/{names[1]}/accept", {"home_net_id": "000013"}, by="globex-1").status == 200
    shown = run("device", "list", "--data", data, "--account", "globex", "--json").stdout.splitlines()
    assert [json.loads(line)["dev_eui"] for line in shown] == [names[0], names[1], names[2], names[4]]
    assert len(run("claim", "list", "--data", data, "--account", "globex", "--json").stdout.splitlines()) == 4
    run("device", "list", "--data", data, "--account", "no/name", code=USAGE)

    run("audit", "verify", "--data", data)
    with sqlite3.connect(data / "lorajs.db") as db:
        key = b"p" + b"acme\0" + euis[3].to_bytes(8, "big")
        assert db.execute("DELETE FROM kv WHERE key = ?", (key,)).rowcount == 1
    assert market("GET", "/v1/devices", by="acme-1").json == {"devices": []}
    found = [json.loads(line) for line in run("audit", "verify", "--data", data, "--json", code=None).stdout.splitlines()]
    assert ["owned-missing", names[3]] in [[f.get("fault"), f.get("dev_eui")] for f in found], found
    counted = {"entries": 4, "missing": 1, "stray": 0}
    for flags in (["--dry-run"], []):
        assert json.loads(run("claim", "index", "--data", data, "--json", *flags).stdout) == counted
    assert market("GET", "/v1/devices", by="acme-1").json["devices"][0]["dev_eui"] == names[3]
    run("audit", "verify", "--data", data)


# ---- the four calls of "ttjsv2", as The Things Stack makes them ------------------------------------------

def message(answer, status: int, says: str) -> None:
    assert (answer.status, answer.headers["Content-Type"], answer.json) == (status, "application/json", {"message": says})


def test_the_things_stack(market, server):  # noqa: F811
    eui = f"{market.device.dev_eui:016X}"
    one, many = f"/api/v2/devices/{eui}/claim", "/api/v2/devices/%s/claims"
    missing = "/api/v2/devices/70B3D5499F00FFFF/claim"
    body = {"ownerToken": TOKEN, "homeNetID": "000013", "homeNSID": "70B3D57ED0000001", "asID": "as.cluster", "lock": True}

    def call(method: str, target: str, sent: object = None, by: str = "acme-1"):
        return market(method, target, sent, by=by)

    market("POST", market.at + "/owner-token", {"owner_token": TOKEN})
    # Who is nobody; who acts for nobody.
    message(call("PUT", one, body, by="wrong"), 401, "no credential, or one that is nobody's")
    message(call("PUT", one, body, by="boss"), 403, "this credential acts for no account")
    # What never comes out of HTTP is said in the same shape.
    message(call("GET", missing + "?" + "x" * 600), 414, "path and query have 511 octets at most")
    message(call("PUT", one, b"{" + b" " * 600000 + b"}"), 413, "the body is too long")
    message(call("TRACE", one), 405, "another method is wanted")
    # Malformed, not provisioned, not claimed, wrong.
    for bad in ({**body, "homeNetID": "13"}, {**body, "lock": "yes"}, {"ownerToken": TOKEN}, [], {**body, "kek": {}}):
        assert call("PUT", one, bad).status == 400 and set(call("PUT", one, bad).json) == {"message"}
    assert call("PUT", "/api/v2/devices/xyz/claim", body).status == 400
    for method in ("PUT", "GET", "DELETE"):
        message(call(method, missing, body if method == "PUT" else None), 404, "device not provisioned")
    for method in ("GET", "DELETE"):
        message(call(method, one), 404, "device not claimed")
    message(call("PUT", one, {**body, "ownerToken": "00000000"}), 403, "claim failed with given owner token")
    # Claimed with a lock, again, read; members that it does not know, or that say nothing, are passed over.
    assert (call("PUT", one, {**body, "applicationID": {"x": [1]}, "kek": None}).status, call("PUT", one, body).status) == (201, 201)
    assert call("PUT", one, {**body, "ownerToken": "", "homeNSID": None}).status == 201
    assert call("GET", one).json == {"homeNetID": "000013", "locked": True}
    assert call("PUT", one, {name: body[name] for name in ("homeNetID", "homeNSID", "asID", "lock")}).status == 201
    for name in ("homeNetID", "asID"):
        assert call("PUT", one, {**body, name: None}).status == call("PUT", one, {**body, name: ""}).status == 400
    read = call("GET", one)
    assert (read.status, read.json) == (200, {"homeNetID": "000013", "homeNSID": "70B3D57ED0000001", "locked": True})
    assert result(server.ask(market.device.join())) == "Success"
    message(call("PUT", one, body, by="globex-1"), 403, "Client not allowed to claim")
    message(call("GET", one, by="globex-1"), 403, "device claimed by another client")
    message(call("DELETE", one, by="globex-1"), 403, "device claimed by another client")
    # Without one, whoever has the token takes it over.
    assert call("PUT", one, {**body, "lock": False}).status == 201 and call("GET", one).json["locked"] is False
    message(call("PUT", one, {**body, "ownerToken": "00000000"}, by="globex-1"), 403, "claim failed with given owner token")
    assert call("PUT", one, {**body, "kek": {"label": "k", "key": KEK}}, by="globex-1").status == 201
    assert server.ask(market.device.join())["AppSKey"]["KEKLabel"] == "k"
    # A token survives a release, unless it was to be another.
    assert (call("DELETE", one, by="globex-1").status, call("GET", one).status) == (204, 404)
    assert call("PUT", one, {**body, "regenerateOwnerToken": True}).status == 201
    assert call("DELETE", one).status == 204
    message(call("PUT", one, body), 403, "claim failed with given owner token")
    # Many at once: each that fails is named, the others are released.
    others = [Device(0x70B3D5499F000100 + i) for i in range(20)]
    for device in others:
        market("POST", "/v1/devices", json.loads(device.line()))
    euis = [f"{device.dev_eui:016X}" for device in others]
    assert market("POST", "/v1/accounts/acme/assign", {"devices": euis[:19]}).json["done"] == 19
    assert market("POST", "/v1/accounts/globex/assign", {"devices": euis[19:]}).json["done"] == 1
    answer = call("DELETE", many % ",".join([*euis, "70B3D5499F00FFFF"]))
    assert (answer.status, answer.json) == (400, {
        euis[19]: {"message": "device claimed by another client"}, "70B3D5499F00FFFF": {"message": "device not provisioned"}})
    assert call("GET", f"/api/v2/devices/{euis[0]}/claim").status == 404
    assert call("DELETE", many % ",".join([euis[19]] * 3), by="globex-1").status == 204
    assert call("DELETE", many % ",".join(euis * 2)).status == 414
    message(call("DELETE", many % "xyz"), 400, "malformed DevEUI")
    message(call("DELETE", many % (euis[0] + ",")), 400, "malformed DevEUI")
    for _ in range(8):
        last = call("PUT", one, {**body, "ownerToken": "00000000"})
    message(last, 429, "too many failed claims, come again later")
