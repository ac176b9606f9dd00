"""Memory: many calls, good and bad, leave as much of it as there was; and eight threads at once."""

from __future__ import annotations

import gc
import json
import os
import resource
import threading
import time
import tracemalloc
from collections.abc import Callable

import pytest

import lorajs
from lorajs import Call, Change, Clear, Outcome, native

DEV_EUI, JOIN_EUI = lorajs.EUI("0102030405060708"), lorajs.EUI("70b3d57ed0000000")
LAB = {"anonymous": True, "clear": Clear.NS | Clear.AS}
KEY, VAULT = lorajs.Key.generate(), lorajs.Vault.generate()


class Element(lorajs.SecureElementBase):
    broken = False

    def derive(self, to: lorajs.ElementKey, from_: lorajs.ElementKey, block: bytes) -> None:
        if self.broken:
            raise RuntimeError("no key")

    def encrypt(self, id: lorajs.ElementKey, octets: bytes) -> bytes:
        return octets

    def cmac(self, id: lorajs.ElementKey, octets: bytes) -> bytes:
        return bytes(16)

    def has(self, id: lorajs.ElementKey) -> bool:
        return True


class DictStore(lorajs.StoreBase):
    def __init__(self) -> None:
        self.values: dict[bytes, tuple[bytes, int]] = {}
        self.version, self.broken = 0, ""

    def get(self, key: bytes) -> tuple[bytes, int] | None:
        if self.broken == "get":
            raise RuntimeError("no disk")
        return self.values.get(key)

    def commit(self, groups):  # type: ignore[no-untyped-def]
        if self.broken == "commit":
            raise RuntimeError("no disk")
        for group in groups:
            for change in group:
                self.version += 1
                self.values[change.key] = change.value, self.version
        return [Outcome.DONE] * len(groups)

    def each(self, prefix: bytes) -> list[bytes]:
        return sorted(key for key in self.values if key.startswith(prefix))


def request(dev_eui: int, nonce: int, key: lorajs.Key = KEY) -> bytes:
    phy = lorajs.Frame(lorajs.FrameKind.JOIN, lorajs.EUI(dev_eui), JOIN_EUI, nonce=nonce).sign(key)
    return lorajs.Message.join_req(0x13, JOIN_EUI, dev_eui, phy, mac=lorajs.Mac.V1_0_4, dev_addr=dev_eui & 0xFFFFFFFF,
                                   transaction_id=nonce).build()


def calls() -> list[Callable[[], object]]:
    """One of every kind: what it gives, and what it raises."""
    device = lorajs.Device(DEV_EUI, JOIN_EUI, lorajs.Mac.V1_0_4, as_id="as")
    record = lorajs.make_device(VAULT, device, app_key=KEY)
    phy = lorajs.Frame(lorajs.FrameKind.JOIN, DEV_EUI, JOIN_EUI, nonce=7).sign(KEY)
    good = lorajs.JoinRequest(phy, lorajs.NetID(0x13), lorajs.DevAddr(1), lorajs.Mac.V1_0_4, clear=Clear.NS)
    bad = lorajs.JoinRequest(phy[:-1] + b"?", lorajs.NetID(0x13), lorajs.DevAddr(1), lorajs.Mac.V1_0_4, clear=Clear.NS)
    joined, answer = lorajs.join(record, good, VAULT)
    message = request(DEV_EUI, 9)
    server = lorajs.JoinServer(VAULT, lorajs.Store.memory(), **LAB, log=lambda decision: None)
    server.make_device(device, app_key=KEY)
    store = DictStore()
    mine = lorajs.JoinServer(VAULT, store, **LAB)
    mine.make_device(device, app_key=KEY)
    batch = [Call(message), Call(b"{"), Call(request(99, 1))]
    line = lorajs.DeviceLine.example().splitlines()[0]
    parsed = lorajs.Message.parse(message)
    said = server.handle(message)
    ns = lorajs.NetworkSide(VAULT)
    state = ns.new(lorajs.NetworkOptions(DEV_EUI, lorajs.NetID(0x13)))
    element = Element()
    ed, soft = lorajs.EndDevice(element), lorajs.EndDevice(lorajs.SecureElement.software(KEY, KEY))
    fresh = ed.new(lorajs.EndDeviceOptions(JOIN_EUI, DEV_EUI))
    data = lorajs.DataFrame(lorajs.Direction.UP, lorajs.DevAddr(1), 7, fopts=b"\x0b\x01", fport=1, frm_payload=b"hello")
    envelope = lorajs.Envelope.seal(KEY, KEY, "kek")
    pure = lorajs.Store.custom(DictStore())

    def break_store(name: str) -> None:
        store.broken = name
        try:
            mine.handle_batch(batch[:1] + batch[2:])
            mine.handle(message)
        finally:
            store.broken = ""

    def break_element() -> None:
        element.broken = True
        try:
            ed.step(fresh, lorajs.Start(0))
        finally:
            element.broken = False

    return [
        lambda: lorajs.join(record, good, VAULT), lambda: lorajs.join(record, bad, VAULT),
        lambda: lorajs.join(joined, good, VAULT), lambda: lorajs.Device.read(b"no record"),
        lambda: lorajs.app_s_key(joined, answer.session_key_id, VAULT, as_id="as", clear=Clear.AS),
        lambda: server.handle(message), lambda: server.handle(b"{"), lambda: server.handle("text"),  # type: ignore[arg-type]
        lambda: server.handle_batch(batch), lambda: server.handle_batch([(b"", 5, 0)]),  # type: ignore[list-item]
        lambda: mine.handle(message), lambda: mine.handle_batch(batch),
        lambda: break_store("get"), lambda: break_store("commit"), lambda: mine.each_device(lambda dev_eui: 1 / 0),
        lambda: lorajs.Key.from_bytes(bytearray(os.urandom(16))).export(), lambda: lorajs.Key.from_bytes(bytearray(17)),
        lambda: lorajs.Frame.parse(phy), lambda: lorajs.Frame.parse(phy[1:]),
        lambda: lorajs.DataFrame.parse(data.build()), lambda: lorajs.DataFrame.parse(b""),
        lambda: list(lorajs.MacCommand.each(b"\x0b\x01\xff", lorajs.Direction.UP)),
        lambda: lorajs.CFList(1, mask=(1, 2)).build(), lambda: lorajs.CFList(1, mask=(1 << 16,)).build(),
        lambda: envelope.open(KEY), lambda: envelope.open(), lambda: lorajs.derive(lorajs.KeyName.APP_S, KEY),
        lambda: lorajs.DeviceLine(line).make(VAULT, allow_weak=True), lambda: lorajs.DeviceLine("{}"),
        lambda: parsed.build(), lambda: parsed.reply(-104).build(), lambda: parsed.read_answer(said),
        lambda: parsed.read_answer(b"{}"), lambda: lorajs.Message.parse(b"{"),
        lambda: server.device(DEV_EUI), lambda: server.device(1), lambda: server.devices(), lambda: server.decisions(1),
        lambda: lorajs.sessions(joined), lambda: lorajs.join_euis(joined), lambda: lorajs.device_json(joined),
        lambda: lorajs.NetworkSession.read(state), lambda: ns.uplink(state, data.build(), now=0), lambda: ns.timer(state, now=0),
        lambda: ed.step(fresh, lorajs.Start(0)), break_element, lambda: soft.step(fresh, lorajs.Start(0)),
        lambda: lorajs.EndDeviceSession.read(fresh), lambda: ed.step(b"", lorajs.Tick(0)),
        lambda: pure.commit([[Change(b"a", None, 1)]]), lambda: pure.each(b"", lambda key: None),
        lambda: native.store_commit(pure._open, [(b"a", b"b", 0)]),  # type: ignore[list-item]
        lambda: native.join(VAULT.native, None, None, None, None, None, record),  # type: ignore[arg-type]
        lambda: lorajs.EUI("x"), lambda: lorajs.NetID(1 << 24),
    ]


def resident() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def round_of(made: list[Callable[[], object]]) -> None:
    for call in made:
        try:
            call()
        except (lorajs.Error, ValueError, TypeError, OverflowError, RuntimeError, ZeroDivisionError):
            pass


def flat(total: int) -> None:
    """So many calls: neither Python's memory nor the process's is more after them than before."""
    made = calls()
    rounds = total // len(made)
    round_of(made)
    for _ in range(max(rounds // 20, 50)):  # what is made once and kept
        round_of(made)
    grown = []
    for _ in range(3):  # a leak is in each part; what Python takes once from the system is in one
        gc.collect()
        before = resident()
        for _ in range(rounds // 3):
            round_of(made)
        gc.collect()
        grown.append(resident() - before)
    assert min(grown) < (1 << 20) // 3, f"{grown} octets more after {rounds // 3 * len(made)} calls each"
    tracemalloc.start()
    try:
        for _ in range(50):
            round_of(made)
        gc.collect()
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(100):
            round_of(made)
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 8_000, f"{after - before} octets of Python's more after 100 rounds"


def test_a_hundred_thousand_calls() -> None:
    flat(100_000)


@pytest.mark.long
def test_a_million_calls() -> None:
    flat(1_000_000)


def test_nothing_waits_for_the_collector() -> None:
    """No cycle keeps what a call had: what was raised has frames in its traceback, and they have keys."""
    made = calls()
    round_of(made)
    gc.collect()
    gc.disable()
    try:
        round_of(made)
        assert gc.collect() == 0
    finally:
        gc.enable()


def locked() -> int:
    """KiB of this process's memory that no swap takes: guarded pages."""
    with open("/proc/self/status", encoding="ascii") as file:
        return int(next(line for line in file if line.startswith("VmLck")).split()[1])


def test_keys_that_are_given_go() -> None:
    device = lorajs.Device(DEV_EUI, JOIN_EUI, lorajs.Mac.V1_0_4)
    accepted = lorajs.Accepted(0, lorajs.FrameKind.JOIN, lorajs.Scheme.V1_0, lorajs.Mac.V1_0_4, 1, lorajs.DevAddr(1))
    ns = lorajs.NetworkSide(VAULT)
    state = ns.new(lorajs.NetworkOptions(DEV_EUI, lorajs.NetID(0x13)))
    before = locked()
    for _ in range(100):
        lorajs.make_device(VAULT, device, app_key=lorajs.Key.generate())
        ns.join_accepted(state, accepted, lorajs.NetworkKeys(lorajs.Key.generate()))
    assert locked() - before < 100


def test_objects_come_and_go() -> None:
    """Servers, vaults, stores and elements, with everything in them."""

    def once() -> None:
        with lorajs.JoinServer(lorajs.Vault.generate(), DictStore(), **LAB, log=lambda decision: None) as server:
            server.make_device(lorajs.Device(DEV_EUI, JOIN_EUI, lorajs.Mac.V1_0_4), app_key=KEY)
            server.set_peers([lorajs.Peer("a", net_ids=(1,), keks=("k",))])
            server.handle(request(DEV_EUI, 1))
        lorajs.EndDevice(Element()).step(lorajs.EndDevice.new(lorajs.EndDeviceOptions(JOIN_EUI, DEV_EUI)), lorajs.Start(0))

    for _ in range(100):
        once()
    grown = []
    for _ in range(3):  # as in flat()
        gc.collect()
        before = resident()
        for _ in range(400):
            once()
        gc.collect()
        grown.append(resident() - before)
    assert min(grown) < (1 << 20) // 3, f"{grown} octets more after 400 of each"


@pytest.mark.parametrize("python", [False, True], ids=["memory", "python"])
def test_eight_threads(python: bool) -> None:
    """Each its device, and all of them one: a nonce is never accepted twice."""
    server = lorajs.JoinServer(VAULT, DictStoreWithLock() if python else lorajs.Store.memory(), **LAB)
    for i in range(1, 10):
        server.make_device(lorajs.Device(lorajs.EUI(i), JOIN_EUI, lorajs.Mac.V1_0_4), app_key=KEY)
    shared: list[tuple[int, str]] = []
    failed: list[object] = []

    def work(number: int) -> None:
        try:
            for nonce in range(1, 60):
                answer = json.loads(server.handle(request(number, 2 * nonce)))
                assert answer["Result"]["ResultCode"] == "Success", answer
                answer = json.loads(server.handle(request(9, nonce)))
                shared.append((nonce, answer.get("PHYPayload", "")))
                batch = server.handle_batch([Call(request(number, 2 * nonce + 1)), Call(request(9, nonce))])
                assert all(isinstance(a, bytes) for a in batch)
        except BaseException as exc:
            failed.append(exc)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed, failed
    accepts = {nonce: {phy for n, phy in shared if n == nonce and phy} for nonce in range(1, 60)}
    assert all(len(of_nonce) <= 1 for of_nonce in accepts.values()) and sum(map(len, accepts.values())) > 0


class DictStoreWithLock(DictStore):
    """As a database does it: a conflict for who comes second."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()

    def commit(self, groups):  # type: ignore[no-untyped-def]
        with self.lock:
            outcomes = []
            for group in groups:
                good = all(self.values.get(c.key, (b"", 0))[1] == c.if_version for c in group)
                outcomes += super().commit([group]) if good else [Outcome.CONFLICT]
            return outcomes
