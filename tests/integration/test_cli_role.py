"""`lorajs role`: credentials of the administrative interface.  A token is in one file, once."""

from __future__ import annotations

import json
import stat
import time

import pytest

from conftest import FAILED, REFUSED, USAGE


def add(run, data, name, *flags, roles="operate", **more):
    return run("role", "add", name, "--data", data, "--roles", roles, *flags, **more)


def test_add_list_remove(run, data, tmp_path):
    token = tmp_path / "ops.token"
    done = add(run, data, "ops", "--output", token, roles="audit,operate")
    assert done.stdout == "ops: added\n" and done.stderr == ""
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    text = token.read_text()
    assert text.startswith("ljs_ops_") and text.endswith("\n") and len(text) == 8 + 64 + 1
    add(run, data, "ca.example", "--certificate", "--expires", "2099-12-31T12:00:00Z", roles="claim")
    rows = [json.loads(line) for line in run("role", "list", "--data", data, "--json").stdout.splitlines()]
    assert [(r["name"], r["roles"], r["kind"], r["expires"]) for r in rows] == [
        ("ca.example", ["claim"], "certificate", 4102401600), ("ops", ["operate", "audit"], "token", None)]
    assert abs(rows[1]["at"] - time.time()) < 3600
    listed = run("role", "list", "--data", data).stdout
    assert "operate,audit" in listed and "2099-12-31 12:00:00Z" in listed
    secret = text[8:72]
    assert secret not in listed + json.dumps(rows)
    for file in data.iterdir():  # nor is it anywhere else
        octets = file.read_bytes()
        assert secret.encode() not in octets and bytes.fromhex(secret) not in octets
    assert run("role", "remove", "ops", "--data", data, "--dry-run").stdout == "ops: would be removed\n"
    assert json.loads(run("role", "remove", "ops", "--data", data, "--json").stdout) == {
        "name": "ops", "result": "removed"}
    done = run("role", "remove", "ops", "--data", data, code=REFUSED)
    assert "no such credential" in done.stderr
    assert "ops" not in run("role", "list", "--data", data).stdout


def test_json_and_a_dry_run(run, data, tmp_path):
    run("device", "import", "--data", data, "-")
    done = add(run, data, "a", "--output", tmp_path / "a", "--dry-run")
    assert done.stdout == "a: would be added\n" and not (tmp_path / "a").exists()
    made = json.loads(add(run, data, "a", "--output", tmp_path / "a", "--json").stdout)
    assert {k: made[k] for k in ("name", "roles", "kind", "expires", "result")} == {
        "name": "a", "roles": ["operate"], "kind": "token", "expires": None, "result": "added"}
    for flags in ([], ["--dry-run"]):
        done = add(run, data, "a", "--output", tmp_path / "b", *flags, code=REFUSED)
        assert "there is such a credential" in done.stderr and not (tmp_path / "b").exists()


@pytest.mark.parametrize("name, flags, says", [
    ("a_b", ["--output", "x"], "letters, digits"), ("", ["--output", "x"], "letters, digits"),
    ("a" * 64, ["--output", "x"], "letters, digits"), ("ops", [], "--output"),
    ("ops", ["--certificate", "--output", "x"], "no token"), ("ops", ["--output", "x", "--expires", "soon"], "--expires"),
    ("ops", ["--output", "x", "--expires", "2001-01-01"], "to come"),
    ("ops", ["--output", "x", "--expires", "2099-13-01"], "--expires")])
def test_wrong_words(run, data, tmp_path, name, flags, says):
    done = add(run, data, name, *flags, code=USAGE, cwd=tmp_path)
    assert says in done.stderr and not data.exists() and not (tmp_path / "x").exists()


@pytest.mark.parametrize("roles", ["", "root", "audit,", "audit,audit", "Audit"])
def test_wrong_roles(run, data, tmp_path, roles):
    assert "--roles" in add(run, data, "ops", "--output", tmp_path / "x", roles=roles, code=USAGE).stderr


def test_a_file_that_is_there_stays(run, data, tmp_path):
    (tmp_path / "x").write_text("mine\n")
    add(run, data, "ops", "--output", tmp_path / "x", code=FAILED)
    assert (tmp_path / "x").read_text() == "mine\n"
    assert run("role", "list", "--data", data).stdout == ""
    add(run, data, "ops", "--output", "/dev/full", code=FAILED)
    add(run, data, "ops", "--output", tmp_path / "no" / "x", code=FAILED)
    assert run("role", "list", "--data", data, "--json").stdout == ""
