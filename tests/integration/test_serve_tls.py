"""The daemon over TLS: who is a peer, and who is nobody."""

from __future__ import annotations

import datetime
import http.client
import json
import os
import pathlib
import signal
import socket
import ssl
import time

import pytest
from conftest import PATIENCE, USAGE
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from joins import Device, result
from test_serve import import_devices, is_closed, read_answer, request, wait_until

DAY = datetime.timedelta(days=1)


class Certificate:
    """A certificate and its key, as the files NAME.pem and NAME.key."""

    def __init__(self, where: pathlib.Path, name: str, signer: "Certificate | None" = None, ca: bool = False,
                 cn: str | None = None, names: tuple[x509.GeneralName, ...] = (), usage=None, ends=DAY) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, cn or name)])
        now = datetime.datetime.utcnow()
        builder = (x509.CertificateBuilder().subject_name(subject).public_key(self.key.public_key())
                   .issuer_name(signer.certificate.subject if signer else subject)
                   .serial_number(x509.random_serial_number()).not_valid_before(now - 3 * DAY).not_valid_after(now + ends)
                   .add_extension(x509.BasicConstraints(ca, None), critical=True))
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        if usage:
            builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        self.certificate = builder.sign(signer.key if signer else self.key, hashes.SHA256())
        self.pem, self.key_pem = where / f"{name}.pem", where / f"{name}.key"
        self.pem.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))
        self.key_pem.write_bytes(self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))

    @property
    def sha256(self) -> str:
        return self.certificate.fingerprint(hashes.SHA256()).hex(":").upper()


class Pki:
    """The server, the authority of its clients, and clients good and bad."""

    def __init__(self, where: pathlib.Path) -> None:
        self.where = where
        self.server = Certificate(where, "server", names=(x509.DNSName("localhost"),))
        self.ca = Certificate(where, "ca", ca=True)
        self.pinned = Certificate(where, "pinned", cn="whoever")
        self.named = Certificate(where, "named", self.ca, cn="ns.acme.example")

    def more(self, name: str, **how) -> Certificate:
        return Certificate(self.where, name, **how)


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


def peer(name: str, how: str, net_id: str = "000013") -> str:
    return f'peer "{name}" {{ {how} net-ids = {{ "{net_id}" }} clear-ns = true clear-as = true }}\n'


def pin(*certificates: Certificate) -> str:
    return "certificate-sha256 = { " + ", ".join(f'"{c.sha256}"' for c in certificates) + " }"


def tls_lines(pki: Pki, server: Certificate | None = None, ca: Certificate | None = None) -> str:
    own = server or pki.server
    return (f'tls-certificate = "{own.pem}"\ntls-key = "{own.key_pem}"\nclient-ca = "{(ca or pki.ca).pem}"\n')


def context(pki: Pki, client: Certificate | None = None, server: Certificate | None = None) -> ssl.SSLContext:
    ctx = ssl.create_default_context(cafile=str((server or pki.server).pem))
    if client:
        ctx.load_cert_chain(client.pem, client.key_pem)
    return ctx


def connect(server, ctx: ssl.SSLContext) -> ssl.SSLSocket:
    plain = socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE)
    return ctx.wrap_socket(plain, server_hostname="localhost")


def ask(server, ctx: ssl.SSLContext, message: dict) -> dict:
    with connect(server, ctx) as sock:
        sock.sendall(request(message))
        status, _, body = read_answer(sock)
        assert status == 200
        return json.loads(body)


@pytest.fixture
def device(run, data) -> Device:
    return Device(0x0102030405060708)


@pytest.fixture
def start(serve, run, data, device, tmp_path):
    """start(text): a server with this configuration, on a public address, with one device."""

    def starter(text: str, listen: str = "0.0.0.0:0"):
        (tmp_path / "lorajs.conf").write_text(text)
        server = serve("--config", tmp_path / "lorajs.conf", listen=listen)
        import_devices(run, data, [device])
        return server

    return starter


def reload(server, tmp_path: pathlib.Path, text: str, word: str = "reloaded") -> None:
    (tmp_path / "lorajs.conf").write_text(text)
    before = server.stderr().count(word)
    server.process.send_signal(signal.SIGHUP)
    wait_until(lambda: server.stderr().count(word) > before)


def test_who_is_a_peer(start, pki, device):
    server = start(tls_lines(pki) + peer("pinned", pin(pki.pinned)) +
                   peer("named", 'certificate-cn = { "ns.acme.example" }', "000014"))
    assert server.scheme == "https" and server.stdout.startswith(b"listening on https://0.0.0.0:")
    assert result(ask(server, context(pki, pki.pinned), device.join("000013"))) == "Success"
    assert result(ask(server, context(pki, pki.named), device.join("000014"))) == "Success"
    assert 'peer="pinned"' in server.stderr() and 'peer="named"' in server.stderr()
    # a peer, but not for this NetID
    assert result(ask(server, context(pki, pki.pinned), device.join("000014"))) == "UnknownSender"
    assert result(ask(server, context(pki, pki.named), device.join("000013"))) == "UnknownSender"
    # no certificate
    assert result(ask(server, context(pki), device.join("000013"))) == "UnknownSender"


def test_certificates_that_are_worth_nothing(start, pki, device):
    other_ca = pki.more("other-ca", ca=True, cn="ca")  # of the same name
    worthless = {
        "not pinned": pki.more("stranger", cn="whoever"),
        "signed by itself": pki.more("self", cn="ns.acme.example"),
        "of another authority": pki.more("of-other", signer=other_ca, cn="ns.acme.example"),
        "another name": pki.more("another-name", signer=pki.ca, cn="ns.evil.example"),
        "a longer name": pki.more("longer", signer=pki.ca, cn="ns.acme.example.evil"),
        "expired": pki.more("expired", signer=pki.ca, cn="ns.acme.example", ends=-DAY),
        "for servers": pki.more("for-servers", signer=pki.ca, cn="ns.acme.example",
                                usage=ExtendedKeyUsageOID.SERVER_AUTH),
        "signed by a client": pki.more("by-client", signer=pki.named, cn="ns.acme.example"),
    }
    server = start(tls_lines(pki) + peer("pinned", pin(pki.pinned)) +
                   peer("named", 'certificate-cn = { "ns.acme.example" }', "000014"))
    for what, certificate in worthless.items():
        for net_id in "000013", "000014":
            answer = ask(server, context(pki, certificate), device.join(net_id))
            assert result(answer) == "UnknownSender" and "NwkSKey" not in answer, what
    assert result(ask(server, context(pki, pki.named), device.join("000014"))) == "Success"


@pytest.mark.parametrize("how", [
    {"cn": "ns.acme.example", "usage": ExtendedKeyUsageOID.CLIENT_AUTH},
    {"cn": "x", "names": (x509.DNSName("a.example"), x509.DNSName("ns.acme.example"))},
    {"cn": "x", "names": (x509.UniformResourceIdentifier("spiffe://acme/ns"),)},
], ids=["for clients", "DNS name", "URI"])
def test_names_of_a_certificate(start, pki, device, how):
    client = pki.more("alternative", signer=pki.ca, **how)
    server = start(tls_lines(pki) + peer("named", 'certificate-cn = { "ns.acme.example", "spiffe://acme/ns" }'))
    assert result(ask(server, context(pki, client), device.join())) == "Success"


def test_pins_need_no_authority_and_no_dates(start, pki, device):
    old = pki.more("old", ends=-DAY)
    text = f'tls-certificate = "{pki.server.pem}"\ntls-key = "{pki.server.key_pem}"\n'
    server = start(text + peer("acme", pin(pki.pinned, old)))
    assert result(ask(server, context(pki, pki.pinned), device.join())) == "Success"
    assert result(ask(server, context(pki, old), device.join())) == "Success"
    assert result(ask(server, context(pki, pki.named), device.join())) == "UnknownSender"


def test_no_peers_on_a_public_address(start, pki, device):
    server = start(tls_lines(pki))
    assert "every request will be refused" in server.stderr()
    assert result(ask(server, context(pki, pki.pinned), device.join())) == "UnknownSender"


def test_plain_peer_is_not_for_tls(start, pki, device):
    server = start(tls_lines(pki) + "plain-peer = acme\n" + peer("acme", pin(pki.pinned)))
    assert result(ask(server, context(pki), device.join())) == "UnknownSender"


def test_key_in_the_file_of_the_certificate(start, pki, device, tmp_path):
    both = tmp_path / "both.pem"
    both.write_bytes(pki.server.pem.read_bytes() + pki.server.key_pem.read_bytes())
    server = start(f'tls-certificate = "{both}"\n' + peer("acme", pin(pki.pinned)))
    assert result(ask(server, context(pki, pki.pinned), device.join())) == "Success"


def test_keep_alive_and_parallel_connections(start, pki, device):
    server = start(tls_lines(pki) + peer("acme", pin(pki.pinned)))
    ctx = context(pki, pki.pinned)
    many = [connect(server, ctx) for _ in range(8)]
    for i in range(40):
        sock = many[i % 8]
        sock.sendall(request(device.join(transaction=i)))
        status, _, body = read_answer(sock)
        assert status == 200 and json.loads(body)["TransactionID"] == i and result(body) == "Success"
    for sock in many:
        sock.close()


def test_413_and_405(start, pki):
    server = start(tls_lines(pki) + peer("acme", pin(pki.pinned)))
    for method, body, status in ("POST", b" " * (1 << 20), 413), ("GET", b"", 405), ("POST", b"x", 400):
        connection = http.client.HTTPSConnection("localhost", server.port, timeout=PATIENCE, context=context(pki))
        connection.request(method, "/", body)
        answer = connection.getresponse()
        assert answer.status == status and result(answer.read())
        connection.close()


def test_tls_1_2_and_1_3_only(start, pki, device):
    server = start(tls_lines(pki) + peer("acme", pin(pki.pinned)))
    for version in ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3:
        ctx = context(pki, pki.pinned)
        ctx.minimum_version = ctx.maximum_version = version
        assert result(ask(server, ctx, device.join())) == "Success"
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    ctx.check_hostname, ctx.verify_mode = False, ssl.CERT_NONE
    ctx.set_ciphers("ALL:@SECLEVEL=0")
    ctx.minimum_version = ctx.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        connect(server, ctx)


def test_plain_http_on_a_tls_port(start, pki, device):
    server = start(tls_lines(pki) + "timeout = 2\n" + peer("acme", pin(pki.pinned)))
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as sock:
        sock.sendall(request(device.join()))
        got = b""
        try:
            while more := sock.recv(4096):
                got += more
        except OSError:
            pass
        assert b"HTTP/1.1 200" not in got and b"JoinAns" not in got
    assert result(ask(server, context(pki, pki.pinned), device.join())) == "Success"


def test_a_slow_handshake(start, pki, device):
    server = start(tls_lines(pki) + "timeout = 1\n" + peer("acme", pin(pki.pinned)))
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as sock:
        sock.sendall(b"\x16\x03\x01")
        begun = time.monotonic()
        assert result(ask(server, context(pki, pki.pinned), device.join())) == "Success"
        assert is_closed(sock, 20) and time.monotonic() - begun < 10


def test_wrong_files(run, data, pki, tmp_path):
    def wrong(*flags: object) -> str:
        done = run("serve", "--data", data, "--listen", "127.0.0.1:0", *flags, code=None)
        assert done.returncode in (1, USAGE) and not done.stdout and not data.exists()
        return done.stderr

    nothing = tmp_path / "nothing.pem"
    nothing.write_text("nothing\n")
    assert "not the key" in wrong("--tls-certificate", pki.server.pem, "--tls-key", pki.pinned.key_pem)
    assert "nothing.pem" in wrong("--tls-certificate", nothing, "--tls-key", pki.server.key_pem)
    assert "none.pem" in wrong("--tls-certificate", tmp_path / "none.pem")
    assert "nothing.pem" in wrong("--tls-certificate", pki.server.pem, "--tls-key", pki.server.key_pem, "--client-ca",
                                  nothing)


# ---- SIGHUP --------------------------------------------------------------------------


def test_reload_of_the_certificate(start, pki, device, tmp_path):
    server = start(tls_lines(pki) + peer("acme", pin(pki.pinned)))
    old = connect(server, context(pki, pki.pinned))
    other = pki.more("server-2", names=(x509.DNSName("localhost"),))
    reload(server, tmp_path, tls_lines(pki, other) + peer("acme", pin(pki.pinned)))
    with pytest.raises(ssl.SSLError):
        connect(server, context(pki, pki.pinned))
    assert result(ask(server, context(pki, pki.pinned, other), device.join())) == "Success"
    old.sendall(request(device.join()))  # it goes on
    assert result(read_answer(old)[2]) == "Success"
    old.close()


def test_a_peer_that_is_gone_is_gone_at_once(start, pki, device, tmp_path):
    stays = peer("stays", 'certificate-cn = { "ns.acme.example" }', "000014")
    server = start(tls_lines(pki) + peer("goes", pin(pki.pinned)) + stays)
    with connect(server, context(pki, pki.pinned)) as goes, connect(server, context(pki, pki.named)) as other:
        for sock, net_id in (goes, "000013"), (other, "000014"):
            sock.sendall(request(device.join(net_id)))
            assert result(read_answer(sock)[2]) == "Success"
        reload(server, tmp_path, tls_lines(pki) + stays)
        goes.sendall(request(device.join("000013")))
        assert result(read_answer(goes)[2]) == "UnknownSender"
        other.sendall(request(device.join("000014")))
        assert result(read_answer(other)[2]) == "Success"
        # an authority that is trusted no more
        reload(server, tmp_path, tls_lines(pki, ca=pki.more("new-ca", ca=True)) + stays)
        other.sendall(request(device.join("000014")))
        assert result(read_answer(other)[2]) == "UnknownSender"


def test_a_wrong_certificate_changes_nothing(start, pki, device, tmp_path):
    server = start(tls_lines(pki) + peer("acme", pin(pki.pinned)))
    wrong = tls_lines(pki).replace(str(pki.server.key_pem), str(pki.pinned.key_pem))
    reload(server, tmp_path, wrong + peer("acme", pin(pki.named)), "is not used")
    assert "not the key" in server.stderr()
    assert result(ask(server, context(pki, pki.pinned), device.join())) == "Success"
    assert result(ask(server, context(pki, pki.named), device.join())) == "UnknownSender"


def test_tls_begins_with_the_next_start(serve, pki, tmp_path, data):
    (tmp_path / "lorajs.conf").write_text("")
    server = serve("--config", tmp_path / "lorajs.conf")
    reload(server, tmp_path, tls_lines(pki) + peer("acme", pin(pki.pinned)))
    assert "next start" in server.stderr()
    assert result(server.ask(Device(1).join())) == "UnknownSender"


def test_strangers_make_room_for_peers(start, pki, device):
    """Whoever shows no certificate cannot keep those out who do; peers stay."""
    server = start(tls_lines(pki) + "connections = 2\ntimeout = 30\n" + peer("acme", pin(pki.pinned)))
    strangers = [connect(server, context(pki)) for _ in range(2)]
    for sock in strangers:
        sock.sendall(request(device.join()))
        assert result(read_answer(sock)[2]) == "UnknownSender"
    peers = []
    for _ in range(2):
        peers.append(connect(server, context(pki, pki.pinned)))
        peers[-1].sendall(request(device.join()))
        assert result(read_answer(peers[-1])[2]) == "Success"
    assert all(is_closed(sock) for sock in strangers)
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as late:
        late.sendall(b"\x16\x03\x01")
        for sock in peers:
            sock.sendall(request(device.join()))
            assert result(read_answer(sock)[2]) == "Success"
            sock.close()
    silent = [socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) for _ in range(2)]
    assert result(ask(server, context(pki, pki.pinned), device.join())) == "Success"
    for sock in silent:
        sock.close()


def cpu_seconds(pid: int) -> float:
    """Of all threads of a process, in it and in the kernel for it."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_half_a_handshake_costs_nothing(start, pki):
    """The server sleeps while clients are in the middle of a handshake, however many."""
    server = start(tls_lines(pki) + "timeout = 60\n" + peer("acme", pin(pki.pinned)))
    half = [socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) for _ in range(8)]
    for sock in half:
        sock.sendall(b"\x16\x03\x01\x02\x00\x01\x00")  # of a ClientHello, and no more
    time.sleep(0.2)
    spent = []
    for _ in range(3):  # on a busy machine the beginning may come late; who asks in a circle never sleeps
        before = cpu_seconds(server.process.pid)
        time.sleep(1)
        spent.append(cpu_seconds(server.process.pid) - before)
    assert min(spent) < 0.1, spent
    half[0].setblocking(False)
    with pytest.raises(BlockingIOError):
        half[0].recv(1)  # the handshakes are still open
    for sock in half:
        sock.close()
