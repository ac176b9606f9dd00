"""A disk that is full, at whatever would write: an error that says so, nothing of it half done, what is read goes on, and
with room again the same goes through."""

from __future__ import annotations

import json
import resource

import pytest
from conftest import DONE, FAILED, device_line
from joins import Device, result
from test_faults import limit_files
from test_serve_admin import Admin, admin, server  # noqa: F401  # fixtures

CLAIMED, FREE, NEW = (Device(0x70B3D5499F000001 + i) for i in range(3))
TOKEN, HERE = "C05EA29C", {"home_net_id": "000013", "as_id": "as.acme"}
FULL = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))}


def at(device: Device, kind: str = "devices") -> str:
    return f"/v1/{kind}/{device.dev_eui:016x}"


@pytest.fixture
def market(run, admin, server):  # noqa: F811
    assert admin("POST", "/v1/accounts", {"name": "acme"}).status == 201
    admin.token("acme-1", "claim", "--account", "acme")
    admin.token("nobody", "audit")
    for device in CLAIMED, FREE:
        assert admin("POST", "/v1/devices", json.loads(device.line(rekey_key="1d" * 8 + "2e" * 8))).status == 201
    admin("POST", at(CLAIMED, "claims") + "/owner-token", {"owner_token": TOKEN})
    run("account", "add", "globex", "--data", server.data)
    assert result(server.ask(CLAIMED.join())) == "Success"
    return admin


def test_over_rest(run, market, server):  # noqa: F811
    """Each act is refused with a code of its own kind, changes nothing, and is done when it is asked for once more."""
    acts = [("POST", "/v1/devices", json.loads(NEW.line()), "boss"), ("POST", at(FREE) + "/block", None, "boss"),
            ("POST", at(FREE) + "/reset-nonces", None, "boss"),
            ("PUT", "/v1/keks/ns", {"key": "5d20c8f1b3947a6ee80b1f5c4d3a9276"}, "boss"),
            ("PUT", at(CLAIMED, "claims"), {"owner_token": TOKEN, **HERE}, "acme-1"),
            ("POST", at(FREE, "claims") + "/owner-token", {"owner_token": TOKEN}, "boss"),
            ("POST", "/v1/accounts", {"name": "initech"}, "boss")]
    reads = ["/v1/health", "/v1/devices", at(CLAIMED), at(FREE), at(CLAIMED, "claims"), "/v1/keks", "/v1/accounts"]

    def seen() -> list[dict]:
        answers = [market("GET", target) for target in reads]
        assert all(answer.status == 200 for answer in answers), answers
        return [answer.json for answer in answers]

    before, log = seen(), run("audit", "show", "--data", server.data).stdout
    limit_files(server, 4096)
    for n, (method, target, body, by) in enumerate(acts):
        for _ in range(2):
            answer = market(method, target, body, by=by, Idempotency_Key=f"k-{n}")
            assert (answer.status, answer.code) == (503, "unavailable"), (target, answer)
    assert market("POST", at(FREE) + "/block", by="nobody").status in (403, 503)
    assert seen() == before and server.process.poll() is None
    assert run("audit", "show", "--data", server.data).stdout == log
    limit_files(server, resource.RLIM_INFINITY)
    for n, (method, target, body, by) in enumerate(acts):
        answer = market(method, target, body, by=by, Idempotency_Key=f"k-{n}")
        assert answer.status in (200, 201, 204), (target, answer)
    run("audit", "verify", "--data", server.data)
    assert result(server.ask(CLAIMED.join())) == "Success" and result(server.ask(NEW.join())) == "Success"


def test_commands(run, market, server, tmp_path):  # noqa: F811
    eui, data = f"{FREE.dev_eui:016x}", ("--data", server.data)
    many = "\n".join(device_line(0x1000 + i) for i in range(130))
    run("key", "pair", "x25519", "--output", tmp_path / "to")
    run("key", "pair", "ed25519", "--output", tmp_path / "by")
    commands = [(("import", "--format", "lorajs", "-"), many), (("device", "import", "-"), many), (("device", "block", eui), ""),
                (("device", "reset-nonces", eui), ""), (("claim", "enrol", eui), ""),
                (("export", "--format", "lorajs", "--clear-keys", "--all", "--output", tmp_path / "clear"), ""),
                (("device", "export", "--move", "--to", tmp_path / "to.pub", "--sign", tmp_path / "by", "--output",
                  tmp_path / "parcel", eui), ""),
                (("rekey", "start", "--experimental", f"{CLAIMED.dev_eui:016x}"), "")]

    def seen() -> tuple[str, str]:
        return run("device", "list", *data, "--json").stdout, run("audit", "show", *data).stdout

    before = seen()
    for words, text in commands:
        done = run(*words, *data, input=text, code=None, **FULL)
        assert done.returncode == FAILED and "full disk" in done.stderr, (words, done)
    assert seen() == before and result(server.ask(CLAIMED.join())) == "Success"
    assert not list(tmp_path.glob("clear*")) and not list(tmp_path.glob("parcel*"))
    for words, text in commands:
        run(*words, *data, input=text, code=DONE)
    run("audit", "verify", *data)
