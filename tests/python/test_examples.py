"""Each example runs, with the libraries it is for, and does what it says in the hard cases too."""

from __future__ import annotations

import contextlib
import http.client
import importlib.util
import json
import os
import pathlib
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from types import ModuleType
from typing import Any, Iterator

import lorajs
import pytest
from lorajs import asgi, testing
from lorajs.testing import SimulatedDevice, SimulatedJoinServer, SimulatedNetwork

ROOT = pathlib.Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples/python"
PATIENCE = 60
DEV_EUI, JOIN_EUI = lorajs.EUI("0102030405060708"), lorajs.EUI("70b3d57ed0000000")


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(*args: object, **more: Any) -> str:
    """A Python program to its good end; its standard output."""
    done = subprocess.run([sys.executable, *map(str, args)], capture_output=True, text=True, timeout=PATIENCE,
                          env={**os.environ, **more.pop("env", {})}, **more)
    assert done.returncode == 0, done.stderr
    return done.stdout


def request_of(key: lorajs.Key, nonce: int) -> lorajs.JoinRequest:
    uplink = lorajs.Frame(lorajs.FrameKind.JOIN, DEV_EUI, JOIN_EUI, nonce=nonce).sign(key)
    return lorajs.JoinRequest(uplink, net_id=0x13, dev_addr=0x26011234, mac=lorajs.Mac.V1_0_4, clear=lorajs.Clear.NS)


THREE_JOINS = [f"DevNonce {n}: JoinNonce {n + 1}, join-accept 20" for n in range(3)]


# ---- SQLAlchemy ------------------------------------------------------------------


def test_sqlalchemy_runs() -> None:
    lines = run(EXAMPLES / "sqlalchemy_join.py").splitlines()
    assert [line[: len(want)] for line, want in zip(lines, THREE_JOINS)] == THREE_JOINS and len(lines) == 3


def test_sqlalchemy_who_comes_second_begins_again(tmp_path: pathlib.Path) -> None:
    from sqlalchemy import create_engine, event
    from sqlalchemy.orm import Session

    joins = example("sqlalchemy_join")
    engine = create_engine(f"sqlite:///{tmp_path / 'devices.db'}")
    joins.Base.metadata.create_all(engine)
    vault, key = lorajs.Vault.generate(), lorajs.Key.generate()
    joins.add(engine, vault, lorajs.Device(DEV_EUI, JOIN_EUI, lorajs.Mac.V1_0_4), key)
    firsts: list[lorajs.JoinAnswer] = []
    loads = 0

    @event.listens_for(joins.Device, "load")
    def loaded(device: object, context: object) -> None:
        nonlocal loads
        loads += 1

    @event.listens_for(Session, "before_flush")
    def somebody_is_first(session: Session, *_: object) -> None:
        if not firsts:
            firsts.append(None)  # type: ignore[arg-type]  # that this one is not overtaken in its turn
            firsts[0] = joins.join(engine, vault, request_of(key, 1))

    try:
        answer = joins.join(engine, vault, request_of(key, 2))
    finally:
        event.remove(Session, "before_flush", somebody_is_first)
    assert (firsts[0].join_nonce, firsts[0].nonce) == (1, 1) and (answer.join_nonce, answer.nonce) == (2, 2)
    assert loads == 3, "the load was not repeated"
    again = joins.join(engine, vault, request_of(key, 2))
    assert again.repeat and again.phy == answer.phy
    with pytest.raises(lorajs.Refused):
        joins.join(engine, vault, request_of(key, 1))
    with pytest.raises(LookupError):
        other = lorajs.Frame(lorajs.FrameKind.JOIN, lorajs.EUI(5), JOIN_EUI, nonce=1).sign(key)
        joins.join(engine, vault, lorajs.JoinRequest(other, 0x13, 1, lorajs.Mac.V1_0_4))
    with Session(engine) as session:
        assert session.get(joins.Device, str(DEV_EUI)).version == 3


# ---- Django ----------------------------------------------------------------------


def test_django_runs(tmp_path: pathlib.Path) -> None:
    lines = run(EXAMPLES / "django_join.py", tmp_path / "devices.db").splitlines()
    assert [line[: len(want)] for line, want in zip(lines, THREE_JOINS)] == THREE_JOINS and len(lines) == 3


def test_django_who_comes_second_begins_again() -> None:
    """In a process of its own: Django has one configuration in each."""
    out = run("-c", textwrap.dedent("""
        import sys
        sys.argv = ["django_join.py"]
        sys.path[:0] = [%r, %r]
        import django_join as joins, lorajs
        from django.db import connection
        from django.db.models.signals import post_init
        from test_examples import request_of, DEV_EUI, JOIN_EUI

        with connection.schema_editor() as schema:
            schema.create_model(joins.Device)
        vault, key = lorajs.Vault.generate(), lorajs.Key.generate()
        joins.add(vault, lorajs.Device(DEV_EUI, JOIN_EUI, lorajs.Mac.V1_0_4), key)
        loads, firsts = [], []

        def loaded(sender, instance, **more):  # after the load of the second: the first comes in between
            loads.append(instance)
            if len(loads) == 1:
                firsts.append(joins.join(vault, request_of(key, 1)))

        post_init.connect(loaded, sender=joins.Device)
        answer = joins.join(vault, request_of(key, 2))
        again = joins.join(vault, request_of(key, 2))
        print(firsts[0].join_nonce, firsts[0].nonce, answer.join_nonce, answer.nonce, len(loads), again.repeat,
              joins.Device.objects.get().version)
        try:
            joins.join(vault, request_of(key, 1))
        except lorajs.Refused as refused:
            print(refused.name)
    """ % (str(EXAMPLES), str(ROOT / "tests/python"))))
    assert out.split() == ["1", "1", "2", "2", "4", "True", "3", "REPLAY"]


# ---- FastAPI ---------------------------------------------------------------------


@contextlib.contextmanager
def uvicorn(application: str, env: dict[str, str]) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """(its port on the loopback address, the process): stopped at the end, if it has not stopped."""
    process = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", application, "--host", "127.0.0.1", "--port", "0", "--no-access-log"],
        cwd=EXAMPLES, env={**os.environ, **env}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr
    told = b""
    try:
        while not (found := re.search(rb"running on http://127\.0\.0\.1:(\d+)", told)):
            line = process.stderr.readline()
            assert line, told.decode()
            told += line
        drain = threading.Thread(target=process.stderr.read, daemon=True)
        drain.start()
        yield int(found[1]), process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        drain.join()
        process.stderr.close()


def post(port: int, body: bytes, headers: dict[str, str], path: str = "/backend-interfaces/",
         source: str = "127.0.0.1") -> tuple[int, dict]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE, source_address=(source, 0))
    with contextlib.closing(connection):
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())


def test_fastapi_over_the_data_of_the_daemon(tmp_path: pathlib.Path) -> None:
    program = os.environ.get("LORAJS", str(ROOT / "build/release/tools/lorajs"))
    data = str(tmp_path / "data")
    device = SimulatedDevice(DEV_EUI, JOIN_EUI, "1.0.4")
    line = {"dev_eui": str(DEV_EUI), "join_eui": str(JOIN_EUI), "lorawan_version": "1.0.4",
            "app_key": device.app_key.export().hex()}
    kek = lorajs.Key.generate()
    for words, given in (["device", "import", "-"], json.dumps(line)), (["kek", "add", "ns"], kek.export().hex()):
        subprocess.run([program, *words, "--data", data], input=given.encode(), check=True, capture_output=True)
    proxy = {"X-Client-DN": "CN=ns.example"}
    with uvicorn("fastapi_server:application", {"LORAJS_DATA": data}) as (port, process):
        network = SimulatedNetwork(lambda body: json.dumps(post(port, body, proxy)[1]).encode(), kek=kek)
        assert device.join(network)
        assert network.answers[-1].nwk_s.kek_label == "ns"
        network.ask = lambda body: json.dumps(post(port, body, {"X-Client-DN": "CN=else"})[1]).encode()
        device.stop()
        assert not device.join(network, tries=2) and network.answers[-1].result == lorajs.Code.SENDER
        network.ask = lambda body: json.dumps(post(port, body, proxy, source="127.0.0.2")[1]).encode()
        device.wait(network)
        assert network.answers[-1].result == lorajs.Code.SENDER, "127.0.0.2 is no proxy of ours"
        assert post(port, b"{", proxy)[0] == 400 and post(port, b" " * 65537, proxy)[0] == 413
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as torn:
            torn.sendall(b"POST /backend-interfaces/ HTTP/1.1\r\nHost: js\r\nContent-Length: 100\r\n\r\n{")
        request = json.dumps({"ProtocolVersion": "1.0", "MessageType": "JoinReq", "SenderID": "000013",
                              "ReceiverID": str(JOIN_EUI), "TransactionID": 1, "MACVersion": "1.0.4",
                              "PHYPayload": "00" * 23, "DevEUI": str(DEV_EUI), "DevAddr": "26011234",
                              "DLSettings": "00", "RxDelay": 1}).encode()
        assert post(port, request, proxy)[1]["Result"]["ResultCode"] != "Success"
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        for path, status in (f"/devices/{DEV_EUI}", 200), ("/devices/0", 404), (f"/devices/{5:016x}", 404):
            connection.request("GET", path)
            answer = connection.getresponse()
            assert answer.status == status
            shown = json.loads(answer.read())
            assert status != 200 or (shown["state"], shown["lorawan_version"]) == ("JOINED", "1.0.4")
        connection.close()
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE)
    told = subprocess.run([program, "why", str(DEV_EUI), "--data", data], check=True, capture_output=True, text=True)
    assert "FRAME" in told.stdout or "frame" in told.stdout.lower(), "the decision was written at the end"


def unread(sock: socket.socket) -> bool:
    """Are there octets that the other end, on this machine, has not taken out of its socket?"""
    ports = {f"{sock.getpeername()[1]:04X}": f"{sock.getsockname()[1]:04X}"}
    for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, _, queues, *_ = line.split()
        if ports.get(local.split(":")[1]) == remote.split(":")[1]:
            return queues.split(":")[1] != "00000000"
    return True


def test_fastapi_answers_what_it_accepted_before_it_ends(tmp_path: pathlib.Path) -> None:
    """SIGTERM while the database is somebody else's: the join is answered, then the process ends."""
    data = tmp_path / "data"
    device = SimulatedDevice(DEV_EUI, JOIN_EUI, "1.0.4")
    data.mkdir()
    (data / "master.key").write_text("5e" * 32)
    with lorajs.JoinServer(lorajs.Vault.from_file(data / "master.key"), lorajs.Store.sqlite(data / "lorajs.db")) as server:
        device.provision(server)
        server.put_kek("ns", kek := lorajs.Key.generate())
    holder = sqlite3.connect(data / "lorajs.db", isolation_level=None)
    uplink = device.start()
    assert uplink
    request = lorajs.Message.join_req(0x13, JOIN_EUI, DEV_EUI, uplink.phy, mac=lorajs.Mac.V1_0_4, dev_addr=0x26011234)
    with uvicorn("fastapi_server:application", {"LORAJS_DATA": str(data)}) as (port, process):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        holder.execute("BEGIN IMMEDIATE")
        connection.request("POST", "/backend-interfaces/", request.build(), {"X-Client-DN": "CN=ns.example"})
        end = time.monotonic() + PATIENCE
        while unread(connection.sock):
            assert time.monotonic() < end
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        assert process.poll() is None
        holder.execute("ROLLBACK")
        answer = request.read_answer(connection.getresponse().read())
        assert device.hear(answer.phy).joined and answer.nwk_s.open(kek)
        assert process.wait(PATIENCE) == 0
        connection.close()
    holder.close()


def test_fastapi_under_its_test_client(tmp_path: pathlib.Path) -> None:
    """Each request may come in a loop of its own."""
    from fastapi import FastAPI
    from fastapi.testclient import TestClient

    server = SimulatedJoinServer()
    device = SimulatedDevice(DEV_EUI, JOIN_EUI, "1.1")
    device.provision(server)
    application, mounted = FastAPI(), asgi.app(server)
    application.mount("/js", mounted)
    application.add_event_handler("shutdown", mounted.aclose)
    for client in TestClient(application), TestClient(mounted):
        path = "/js/any" if client.app is application else "/any"
        network = SimulatedNetwork(lambda body: client.post(path, content=body).content)
        assert device.join(network)
        device.stop()
    with TestClient(application) as client:
        assert client.post("/js", content=b"{").status_code == 400
        assert client.get("/js").status_code == 405
    assert TestClient(application).post("/js", content=b"{}").status_code == 503, "it was shut down"


# ---- an application server -------------------------------------------------------


def test_application_server(tmp_path: pathlib.Path) -> None:
    """Its key opens what the device said."""
    server, kek = SimulatedJoinServer(), lorajs.Key.generate()
    device = SimulatedDevice(DEV_EUI, JOIN_EUI, "1.1")
    device.provision(server, as_id="my-as")
    network = SimulatedNetwork(server.handle)
    assert device.join(network)
    device.say(network, b"21.5 degrees")
    [data] = network.heard
    (tmp_path / "kek").write_text(kek.export().hex())
    server.put_kek("as", kek)
    server.set_peers([lorajs.Peer("as", as_ids=("my-as",), keks=("as",))])
    with testing.serve(asgi.app(server, peer=lambda scope: "as")) as url:
        arguments = [url, "my-as", JOIN_EUI, DEV_EUI, data.session_key_id.hex(), tmp_path / "kek"]
        assert run(EXAMPLES / "application_server.py", *arguments) == "<Key of 16 octets>\n"
        application, httpx = example("application_server"), pytest.importorskip("httpx")
        with httpx.Client() as client:
            key = application.fetch(client, url, "my-as", JOIN_EUI, DEV_EUI, data.session_key_id, kek)
            assert data.open(key) == b"21.5 degrees"
            for wrong in {"as_id": "other"}, {"session_key_id": bytes(16)}, {"dev_eui": lorajs.EUI(5)}:
                given = {"as_id": "my-as", "join_eui": JOIN_EUI, "dev_eui": DEV_EUI,
                         "session_key_id": data.session_key_id, "kek": kek, **wrong}
                with pytest.raises(lorajs.Refused):
                    application.fetch(client, url, **given)
            with pytest.raises(lorajs.Fault):
                application.fetch(client, url, "my-as", JOIN_EUI, DEV_EUI, data.session_key_id, lorajs.Key.generate())


# ---- a network server ------------------------------------------------------------


def test_network_server() -> None:
    out = run(EXAMPLES / "network_server.py")
    told = [re.sub(r" +", " ", line.split(" s ", 1)[1]).strip() for line in out.splitlines()]
    for line in ("network JoinAns, DevAddr 26011235: PENDING", "device has joined as 26011235",
                 "network uplink 0 of 26011235, RekeyInd, the keys are new: REKEYING",
                 'application port 10: "good morning"', "network downlink 0, REKEY_CONF", "device rekeyed: JOINED",
                 "network the device is to rejoin", 'application port 10: "21.5 degrees"',
                 "network RejoinAns, DevAddr 26011236: SWITCHING", "device rejoined: REKEYING",
                 "network uplink 0 of 26011236, RekeyInd, the keys are new: REKEYING",
                 'application port 10: "under new keys"', "network downlink 0, REKEY_CONF, payload",
                 'device port 10: "well heard"'):
        assert line in told, out
        told = told[told.index(line) + 1:]
