"""The daemon's configuration: the file, the flags over it, peers, and SIGHUP."""

from __future__ import annotations

import os
import pathlib
import re
import signal

import pytest
from conftest import PATIENCE, ROOT, USAGE
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap
from joins import Device, result
from test_serve import get, import_devices, metrics_url, wait_until

ACME = 'peer "acme" { net-ids = { "000013" } clear-ns = true clear-as = true %s }\n'


@pytest.fixture
def conf(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "lorajs.conf"


def reload(server, conf: pathlib.Path, text: str) -> str:
    """SIGHUP with another file; what is logged about it."""
    before = len(server.stderr())
    conf.write_text(text)
    server.process.send_signal(signal.SIGHUP)
    wait_until(lambda: re.search(r"reloaded|is not used", server.stderr()[before:]))
    return server.stderr()[before:]


# ---- the file ---------------------------------------------------------------------


def test_options_of_the_file(serve, conf, data, tmp_path):
    conf.write_text(f'''# everything in one place
        data = "{tmp_path / "elsewhere"}"
        metrics = "127.0.0.1:0"
        timeout = 3
        log-format = 'json'
        allow-clear-keys = true
    ''')
    server = serve("--config", conf, data=data)
    assert get(metrics_url(server) + "/healthz")[0] == 200
    assert server.stderr().startswith("{")
    assert data.exists() and not (tmp_path / "elsewhere").exists(), "a flag wins over the file"


def test_data_and_listen_from_the_file_alone(program, conf, tmp_path, run):
    import subprocess

    conf.write_text(f'data = "{tmp_path / "here"}"\nlisten = "127.0.0.1:0"\n')
    process = subprocess.Popen([program, "serve", "--config", str(conf)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert process.stdout.readline().startswith(b"listening on http://127.0.0.1:")
        assert (tmp_path / "here" / "lorajs.db").exists()
    finally:
        process.terminate()
        process.communicate(timeout=PATIENCE)
    assert process.returncode == 0


@pytest.mark.parametrize("text, line, what", [
    ("nonsense = 1\n", 1, "nonsense"),
    ('\n\nlisten = "a"\nlistn = "b"\n', 4, "listn"),
    ("timeout = 0\n", 1, "timeout takes a number from 1"),
    ("\ntimeout = soon\n", 2, "timeout"),
    ("log-level = loud\n", 1, "error|warning|info|debug"),
    ("insecure = perhaps\n", 1, "insecure"),
    ("config = \"other\"\n", 1, "config"),
    ("timeout 5\n", 1, ""),
    ('peer acme { net-ids = { "13" } }\n', 1, "NetID"),
    ('peer acme {\n  net-ids = {\n "000013" }\n  ns-ids = { "0102" }\n}\n', 4, "NSID"),
    ('peer acme {\n  certificate-sha256 = { "abcd" }\n}\n', 2, "SHA-256"),
    ('peer acme {\n  certificate-sha256 = { "' + "0g" * 32 + '" }\n}\n', 2, "SHA-256"),
    ('peer acme {\n  keks = { "" }\n}\n', 2, "label"),
    ('peer acme {\n  nonsense = 1\n}\n', 2, "nonsense"),
    ('peer acme {\n  net-ids = { "000013" }\n}\n', 3, "neither"),
    ('peer acme {\n  certificate-cn = { "x" }\n}\n', 3, "client-ca"),
    ('plain-peer = a\npeer a { net-ids = {"000013"} }\npeer a { net-ids = {"000014"} }\n', 3, "a"),
    ('peer "?" {\n}\n', 2, "name"),
    ('peer "' + "x" * 128 + '" {\n}\n', 2, "127"),
    ('peer a {\n certificate-sha256 = {"' + "00" * 32 + '"}\n}\npeer b {\n certificate-sha256 = {"' + "00:" * 31
     + '00"}\n}\n', 6, "same certificate"),
    ('peer a { net-ids = { "000013"\n', 2, ""),
    ('plain-peer = a\npeer a { net-ids = {"000013"}\n', 3, "premature end"),
    ("timeout = 5\n/* peer a {\n}\n", 4, "premature end"),
])
def test_what_is_wrong_is_told_with_file_and_line(run, conf, data, text, line, what):
    conf.write_text(text)
    done = run("serve", "--data", data, "--listen", "127.0.0.1:0", "--config", conf, code=USAGE)
    assert f"{conf}:{line}: " in done.stderr and what in done.stderr, done.stderr
    assert not data.exists() and not done.stdout


def test_no_such_file(run, data, tmp_path):
    done = run("serve", "--data", data, "--config", tmp_path / "none.conf", code=USAGE)
    assert "none.conf" in done.stderr and "No such file" in done.stderr


def test_plain_peer_must_be_one(run, conf, data):
    conf.write_text("plain-peer = other\n" + ACME % f'certificate-sha256 = {{ "{"00" * 32}" }}')
    assert "other" in run("serve", "--data", data, "--config", conf, code=USAGE).stderr


def test_the_example_is_good_and_complete(run, serve, conf):
    text = (ROOT / "tools/lorajs.conf.example").read_text()
    help_text = run("serve", "--help").stdout
    options = set(re.findall(r"^  --([a-z-]+)", help_text, re.M)) - {"help", "config", "peer", "force-regression"}
    shown = set(re.findall(r"^(?:# )?([a-z-]+) = ", text, re.M))
    assert options - shown == {"insecure", "metrics-insecure", "allow-clear-keys", "dumpable", "plain-peer"}
    uncommented = re.sub(r"^# ((?:[a-z-]+ = |peer |    |\}).*)$", r"\1", text, flags=re.M)
    uncommented = re.sub(r"^(tls|client|data|listen|metrics|admin|export).*$", "", uncommented, flags=re.M)
    uncommented = uncommented.replace("3A:5F:...:90", "00" * 32).replace("certificate-cn", "as-ids").replace(
        'as-ids = { "as.meters.example" }', f'certificate-sha256 = {{ "{"11" * 32}" }}')
    conf.write_text(uncommented.replace("/mnt/elsewhere/lorajs.marker", str(conf.parent / "marker")))
    server = serve("--config", conf)
    assert 'no KEK "acme-2026"' in server.stderr() and 'no KEK "meters-2026"' in server.stderr()


def test_every_option_is_documented(run):
    documented = (ROOT / "docs/configuration.md").read_text()
    for option in re.findall(r"^  --([a-z-]+)", run("serve", "--help").stdout, re.M):
        assert option in ("help", "config", "peer", "force-regression") or f"| `{option}` |" in documented, option


# ---- peers ---------------------------------------------------------------------------


def test_peers_without_tls_are_nobody(run, serve, conf, data):
    device = Device(1)
    conf.write_text(ACME % f'certificate-sha256 = {{ "{"00" * 32}" }}')
    server = serve("--config", conf, "--allow-clear-keys")
    import_devices(run, data, [device])
    assert result(server.ask(device.join())) == "UnknownSender"
    assert "nobody can be told apart" in server.stderr() and "without peers" in server.stderr()


def test_plain_peer(run, serve, conf, data):
    device = Device(1)
    conf.write_text("plain-peer = acme\n" + ACME % "")
    server = serve("--config", conf)
    import_devices(run, data, [device])
    assert result(server.ask(device.join("000013"))) == "Success"
    assert result(server.ask(device.join("000014"))) == "UnknownSender"
    assert 'peer="acme"' in server.stderr()


def test_peer_as_a_flag(run, serve, data):
    device = Device(1)
    server = serve("--plain-peer", "a b", "--peer", "'a b' { net-ids = {\"000013\"} clear-ns = true }",
                   "--peer", "c { certificate-sha256 = {'" + "00" * 32 + "'} }")
    import_devices(run, data, [device])
    answer = server.ask(device.join())
    assert result(answer) == "Success" and "NwkSKey" in answer and "AppSKey" not in answer
    assert 'peer="a b"' in server.stderr()


def test_keys_are_wrapped_for_peers(run, serve, conf, data):
    device = Device(1)
    conf.write_text('plain-peer = acme\npeer acme { net-ids = {"000013"} keks = {"acme-kek"} }\n')
    server = serve("--config", conf)
    assert 'no KEK "acme-kek"' in server.stderr()
    run("kek", "add", "acme-kek", "--data", data, input=os.urandom(16).hex() + "\n")
    import_devices(run, data, [device])
    answer = server.ask(device.join())
    assert result(answer) == "Success"
    assert answer["NwkSKey"]["KEKLabel"] == "acme-kek" and len(answer["NwkSKey"]["AESKey"]) == 48


def test_another_process_changes_a_kek(run, serve, conf, data):
    """The daemon keeps open KEKs, and yet uses what the database has."""
    device = Device(1)
    conf.write_text('plain-peer = acme\npeer acme { net-ids = {"000013"} keks = {"acme-kek"} }\n')
    server = serve("--config", conf)
    import_devices(run, data, [device])
    keks = [os.urandom(16), os.urandom(32), os.urandom(16)]
    for kek, before in zip(keks, [os.urandom(16), *keks]):
        run("kek", "add", "acme-kek", "--replace", "--data", data, input=kek.hex() + "\n")
        for _ in range(2):
            wrapped = bytes.fromhex(server.ask(device.join())["NwkSKey"]["AESKey"])
            assert len(aes_key_unwrap(kek, wrapped)) == 16
            with pytest.raises(InvalidUnwrap):
                aes_key_unwrap(before, wrapped)
    run("kek", "remove", "acme-kek", "--data", data)
    assert result(server.ask(device.join())) == "JoinReqFailed"
    run("kek", "add", "acme-kek", "--data", data, input=keks[0].hex() + "\n")
    wrapped = bytes.fromhex(server.ask(device.join())["NwkSKey"]["AESKey"])
    assert len(aes_key_unwrap(keks[0], wrapped)) == 16


def test_no_kek_and_no_clear_keys(run, serve, conf, data):
    device = Device(1)
    conf.write_text('plain-peer = acme\npeer acme { net-ids = {"000013"} }\n')
    server = serve("--config", conf)
    import_devices(run, data, [device])
    assert result(server.ask(device.join())) != "Success"


# ---- SIGHUP ----------------------------------------------------------------------------


def test_reload_of_peers(run, serve, conf, data):
    device = Device(1)
    conf.write_text("plain-peer = acme\n" + ACME % "")
    server = serve("--config", conf)
    import_devices(run, data, [device])
    assert result(server.ask(device.join("000013"))) == "Success"
    assert "reloaded: 1 peers" in reload(server, conf, "plain-peer = acme\n" + (ACME % "").replace("13", "14"))
    assert result(server.ask(device.join("000013"))) == "UnknownSender"
    assert result(server.ask(device.join("000014"))) == "Success"


def test_what_is_wrong_changes_nothing(run, serve, conf, data):
    device = Device(1)
    conf.write_text("plain-peer = acme\n" + ACME % "")
    server = serve("--config", conf, "--metrics", "127.0.0.1:0")
    import_devices(run, data, [device])
    said = reload(server, conf, "plain-peer = acme\n" + (ACME % "").replace("13", "14") + "nonsense = 1\n")
    assert f"{conf}:3: " in said and "is not used" in said
    conf.unlink()
    server.process.send_signal(signal.SIGHUP)
    wait_until(lambda: server.stderr().count("is not used") == 2)
    conf.mkdir()  # libconfuse would end the process
    server.process.send_signal(signal.SIGHUP)
    wait_until(lambda: server.stderr().count("is not used") == 3)
    assert result(server.ask(device.join("000013"))) == "Success"
    url = metrics_url(server)  # what is logged is counted a moment later
    wait_until(lambda: "lorajs_reload_failures_total 3\n" in get(url + "/metrics")[1])
    assert "lorajs_reloads_total 0\n" in get(url + "/metrics")[1]


def test_a_laboratory_that_gets_peers_serves_nobody_else(run, serve, conf, data):
    device = Device(1)
    conf.write_text("")
    server = serve("--config", conf, "--allow-clear-keys")
    import_devices(run, data, [device])
    assert result(server.ask(device.join())) == "Success"
    reload(server, conf, ACME % f'certificate-sha256 = {{ "{"00" * 32}" }}')
    answer = server.ask(device.join())
    assert result(answer) == "UnknownSender" and "NwkSKey" not in answer
    app_s_key = {"ProtocolVersion": "1.0", "SenderID": "as", "ReceiverID": "70b3d57ed0000000", "TransactionID": 1,
                 "MessageType": "AppSKeyReq", "DevEUI": f"{1:016x}", "SessionKeyID": "00"}
    assert result(server.ask(app_s_key)) == "UnknownSender"
    reload(server, conf, "")
    assert result(server.ask(device.join())) == "Success"


def test_peers_that_go_do_not_make_a_laboratory(run, serve, conf, data):
    device = Device(1)
    conf.write_text("plain-peer = acme\n" + ACME % "")
    server = serve("--config", conf, "--allow-clear-keys")
    import_devices(run, data, [device])
    assert "every request will be refused" not in server.stderr()
    reload(server, conf, "")
    wait_until(lambda: "every request will be refused" in server.stderr())  # after "reloaded"
    assert result(server.ask(device.join())) == "UnknownSender"


def test_what_waits_for_the_next_start(serve, conf):
    conf.write_text("timeout = 5\n")
    server = serve("--config", conf)
    said = reload(server, conf, "timeout = 6\nworkers = 3\nlog-format = json\n")
    assert "timeout takes effect" in said and "workers takes effect" in said and "log-format" not in said
    assert server.stderr().splitlines()[-1].startswith("{")


def test_reload_without_a_file(server):
    server.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "reloaded: 0 peers" in server.stderr())
    assert server.post("x")[0] == 400
