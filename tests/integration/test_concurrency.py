"""Many requests at once: copies of one join make one session, and no two joins share a
JoinNonce."""

from __future__ import annotations

import collections
import http.client
import json
import pathlib
import threading
from typing import Callable

import pytest

from conftest import PATIENCE, Server, device_line
from fleet import encrypt, join_request, root_keys

CONNECTIONS = 32


def storm(server: Server, bodies: list[dict]) -> list[dict]:
    """Every body, over 32 kept-alive connections that all begin at once; the answers in order."""
    answers: list[dict | None] = [None] * len(bodies)
    faults: list[BaseException] = []
    ready = threading.Barrier(CONNECTIONS)

    def work(first: int) -> None:
        connection = http.client.HTTPConnection(server.host, server.port, timeout=PATIENCE)
        try:
            connection.connect()
            ready.wait(PATIENCE)
            for i in range(first, len(bodies), CONNECTIONS):
                connection.request("POST", "/", json.dumps(bodies[i]), {"Content-Type": "application/json"})
                answer = connection.getresponse()
                assert answer.status == 200
                answers[i] = json.loads(answer.read())
        except BaseException as fault:
            faults.append(fault)
        finally:
            connection.close()

    threads = [threading.Thread(target=work, args=(n,)) for n in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults, faults[0]
    return answers


def join_req(line: dict, dev_nonce: int, transaction: int) -> dict:
    return {"ProtocolVersion": "1.0", "SenderID": "000001", "ReceiverID": line["join_eui"],
            "TransactionID": transaction, "MessageType": "JoinReq", "MACVersion": line["lorawan_version"],
            "PHYPayload": join_request(line, dev_nonce).hex(), "DevEUI": line["dev_eui"], "DevAddr": "02000001",
            "DLSettings": "00", "RxDelay": 1}


def join_nonce(line: dict, answer: dict) -> int:
    accept = bytes.fromhex(answer["PHYPayload"])
    return int.from_bytes(encrypt(root_keys(line)["root"], accept[1:])[:3], "little")


@pytest.fixture
def devices(run: Callable, data: pathlib.Path) -> Callable[..., list[dict]]:
    def maker(n: int, **members) -> list[dict]:
        lines = [device_line(0x1000 + i, **members) for i in range(n)]
        run("device", "import", "-", "--data", data, input="\n".join(lines))
        return [json.loads(line) for line in lines]

    return maker


@pytest.mark.parametrize("version", ["1.0.3", "1.0.4"])
def test_a_thousand_copies_make_one_session(devices: Callable, server: Server, version: str) -> None:
    (line,) = devices(1, lorawan_version=version)
    answers = storm(server, [join_req(line, 7, n) for n in range(1000)])

    assert [answer["TransactionID"] for answer in answers] == list(range(1000))
    for answer in answers:
        del answer["TransactionID"]
    assert answers[0]["Result"] == {"ResultCode": "Success"}
    assert all(answer == answers[0] for answer in answers)  # SessionKeyID, accept, keys and all
    assert join_nonce(line, answers[0]) == 1

    after = server.ask(join_req(line, 8, 1000))
    assert join_nonce(line, after) == 2, "the thousand cost one JoinNonce"


def test_copies_with_other_settings_are_replays(devices: Callable, server: Server) -> None:
    """The same frame brought by two networks at once: one of them gets the session."""
    (line,) = devices(1)
    bodies = [dict(join_req(line, 7, n), SenderID=f"00000{n % 8}") for n in range(400)]
    answers = storm(server, bodies)

    good = [n for n, answer in enumerate(answers) if answer["Result"]["ResultCode"] == "Success"]
    assert good and len({n % 8 for n in good}) == 1
    assert len({answers[n]["SessionKeyID"] for n in good}) == 1
    assert len(good) == 50, "the one network is answered each time"
    assert {answer["Result"]["ResultCode"] for answer in answers} == {"Success", "JoinReqFailed"}


def test_different_joins_of_one_device(devices: Callable, server: Server) -> None:
    """Random DevNonces may come in any order: each has a session and a JoinNonce of its own."""
    (line,) = devices(1)
    answers = storm(server, [join_req(line, 257 * n % 65536, n) for n in range(400)])

    assert {answer["Result"]["ResultCode"] for answer in answers} == {"Success"}
    assert sorted(join_nonce(line, answer) for answer in answers) == list(range(1, 401))
    assert len({answer["SessionKeyID"] for answer in answers}) == 400


def test_rising_nonces_in_any_order(devices: Callable, server: Server) -> None:
    """A counter of 1.0.4 raced over 32 connections: whatever is answered rises with it."""
    (line,) = devices(1, lorawan_version="1.0.4")
    answers = storm(server, [join_req(line, n, n) for n in range(400)])

    good = {n: join_nonce(line, answer) for n, answer in enumerate(answers)
            if answer["Result"]["ResultCode"] == "Success"}
    assert 399 in good and list(good.values()) == list(range(1, len(good) + 1))
    assert {answer["Result"]["ResultCode"] for answer in answers} <= {"Success", "JoinReqFailed"}


def test_many_devices_each_with_copies(devices: Callable, server: Server) -> None:
    lines = devices(64)
    answers = storm(server, [join_req(lines[n % 64], 1, n) for n in range(64 * 12)])

    sessions = collections.defaultdict(set)
    for n, answer in enumerate(answers):
        assert answer["Result"]["ResultCode"] == "Success"
        sessions[n % 64].add((answer["SessionKeyID"], answer["PHYPayload"]))
    assert all(len(of) == 1 for of in sessions.values())
    assert len(set().union(*sessions.values())) == 64
