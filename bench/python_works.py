#!/usr/bin/python3
"""The worker that is the Python package: JoinServer.handle() over a store in memory, every check and seal on.

    python_works.py FIXTURES      with PYTHONPATH naming the built package

`handler-c-old` is the join of kind c by devices whose records are full of sessions, as in handler.c.  A
device joins again and again, so that its requests are signed before each pass, with rising DevNonces."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "peers" / "python"))
sys.path.insert(0, str(Path(__file__).resolve().parent))
import lorajs  # noqa: E402
from fixtures import read  # noqa: E402
from messages import answered, message  # noqa: E402
from protocol import Work, serve  # noqa: E402

SESSIONS = 8
fixtures = read(sys.argv[1])


def number(octets: bytes) -> int:
    return int.from_bytes(octets, "big")


def secret(octets: bytes) -> lorajs.Key:
    return lorajs.Key.from_bytes(bytearray(octets))


def handler(kind: str) -> Work:
    vault = lorajs.Vault.generate()
    server = lorajs.JoinServer(vault, lorajs.Store.memory())
    server.put_kek("ns-kek", secret(fixtures.ns_kek))
    server.put_kek("as-kek", secret(fixtures.as_kek))
    server.set_peers([lorajs.Peer("ns", net_ids=(number(fixtures.joins[0]["net_id"]),), keks=("ns-kek",)),
                      lorajs.Peer("as", as_ids=("as",), keks=("as-kek",))])
    keys = [secret(f["nwk_key"]) for f in fixtures.joins]
    for f, key in zip(fixtures.joins, keys, strict=True):
        device = lorajs.Device(lorajs.EUI(number(f["dev_eui"])), lorajs.EUI(number(f["join_eui"])), lorajs.Mac.V1_1,
                               next_join_nonce=number(f["join_nonce"]) - SESSIONS, as_id="as")
        server.make_device(device, nwk_key=key, app_key=secret(f["app_key"]))
    passes = 0

    def requests(later: int) -> list[bytes]:
        made = []
        for f, key in zip(fixtures.joins, keys, strict=True):
            frame = lorajs.Frame(lorajs.FrameKind.JOIN, number(f["dev_eui"]), number(f["join_eui"]),
                                 nonce=number(f["dev_nonce"]) + later)
            made.append(message(f, kind, frame.sign(key)))
        return made

    def before() -> list[bytes]:
        nonlocal passes
        passes += 1
        return requests(passes - 1)

    def handle(body: bytes) -> bytes:
        return server.handle(body, peer="ns", now=1700000000)

    for earlier in range(SESSIONS, 0, -1):
        for body in requests(-earlier):
            handle(body)
    return Work([], handle, lambda f, answer: answered(f, kind, answer), before,  # type: ignore[arg-type]
                lambda: server.count(lorajs.MessageType.JOIN_REQ))


serve(fixtures, {"handler-c-old": lambda: handler("c")})
