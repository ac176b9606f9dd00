"""Stores and logs written in Python, and whose their exceptions are: of single calls, and in batches."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import pathlib
import threading
import traceback
import weakref
from collections.abc import Callable, Iterator, Sequence

import pytest

import lorajs
from lorajs import Call, Change, Clear, Code, MessageType, Outcome

JOIN_EUI = lorajs.EUI("70b3d57ed0000000")
KEY = lorajs.Key.generate()
LAB = {"anonymous": True, "clear": Clear.NS | Clear.AS}


class DictStore(lorajs.StoreBase):
    """The contract over a dict; `broken` is called before each call, with its name and what it is about."""

    def __init__(self) -> None:
        self.values: dict[bytes, tuple[bytes, int]] = {}
        self.version = 0
        self.commits: list[int] = []
        self.threads: set[int] = set()
        self.closed = 0
        self.broken: Callable[[str, object], None] = lambda name, about: None
        self.lock = threading.Lock()

    def get(self, key: bytes) -> tuple[bytes, int] | None:
        self.threads.add(threading.get_ident())
        self.broken("get", key)
        return self.values.get(key)

    def commit(self, groups: Sequence[Sequence[Change]]) -> Sequence[Outcome]:
        self.broken("commit", groups)
        with self.lock:
            self.commits.append(len(groups))
            return [self._group(group) for group in groups]

    def _group(self, group: Sequence[Change]) -> Outcome:
        if any(self.values.get(c.key, (b"", 0))[1] != c.if_version for c in group):
            return Outcome.CONFLICT
        for c in group:
            self.version += 1
            if c.value is None:
                del self.values[c.key]
            else:
                self.values[c.key] = c.value, self.version
        return Outcome.DONE

    def each(self, prefix: bytes) -> Iterator[bytes]:
        self.broken("each", prefix)
        yield from sorted(key for key in self.values if key.startswith(prefix))

    def close(self) -> None:
        self.closed += 1


def request(dev_eui: int, nonce: int) -> bytes:
    phy = lorajs.Frame(lorajs.FrameKind.JOIN, lorajs.EUI(dev_eui), JOIN_EUI, nonce=nonce).sign(KEY)
    return lorajs.Message.join_req(0x13, JOIN_EUI, dev_eui, phy, mac=lorajs.Mac.V1_0_4, dev_addr=dev_eui,
                                   transaction_id=nonce).build()


def result(answer: object) -> str:
    assert isinstance(answer, bytes)
    return str(json.loads(answer)["Result"]["ResultCode"])


def make(store: lorajs.Store | lorajs.StoreBase, devices: int = 4, **more: object) -> lorajs.JoinServer:
    server = lorajs.JoinServer(lorajs.Vault.generate(), store, **LAB, **more)  # type: ignore[arg-type]
    for i in range(1, devices + 1):
        server.make_device(lorajs.Device(lorajs.EUI(i), JOIN_EUI, lorajs.Mac.V1_0_4), app_key=KEY)
    return server


@pytest.fixture
def store() -> DictStore:
    return DictStore()


class Boom(Exception):
    pass


def broken_with(exc: BaseException, wanted: str, about: bytes = b"") -> Callable[[str, object], None]:
    def broken(name: str, of: object) -> None:
        if name == wanted and (not about or of == about):
            raise exc

    return broken


def device_key(dev_eui: int) -> bytes:
    """As the store has it: known here alone from what it holds."""
    return dev_eui.to_bytes(8, "big")


@pytest.mark.parametrize("make_store", [DictStore, lorajs.Store.memory], ids=["python", "memory"])
def test_the_contract(make_store: Callable[[], lorajs.StoreBase | lorajs.Store]) -> None:
    made = make_store()
    store = made if isinstance(made, lorajs.Store) else lorajs.Store.custom(made)
    assert store.get(b"a") is None
    assert store.commit([[Change(b"a", b"1", 0), Change(b"b", b"", 0)], [Change(b"a", b"2", 0)], []]) == [
        Outcome.DONE, Outcome.CONFLICT, Outcome.DONE]
    value, version = store.get(b"a") or (b"", 0)
    assert value == b"1" and version > 0
    # All of a group or nothing; groups in order.
    assert store.commit([[Change(b"a", b"3", version), Change(b"b", None, version + 1000)]]) == [Outcome.CONFLICT]
    assert store.get(b"a") == (b"1", version)
    assert store.commit([[Change(b"a", None, version)], [Change(b"a", b"new", 0)]]) == [Outcome.DONE] * 2
    value, again = store.get(b"a") or (b"", 0)
    assert value == b"new" and again not in (0, version)
    assert store.each() == [b"a", b"b"] and store.each(b"b") == [b"b"] and store.each(b"c") == []
    seen: list[bytes] = []
    with pytest.raises(ZeroDivisionError):
        store.each(b"", lambda key: seen.append(key) or 1 / 0)
    assert seen == [b"a"]
    for key in b"", bytes(256):
        with pytest.raises(lorajs.InvalidError):
            store.get(key)
    store.close()
    with pytest.raises(lorajs.ClosedError):
        store.get(b"a")


def test_a_server_over_it(store: DictStore) -> None:
    server = make(store)
    assert result(server.handle(request(1, 1))) == "Success"
    assert server.device(1).state is lorajs.State.JOINED and server.devices() == [1, 2, 3, 4]
    store.commits.clear()
    answers = server.handle_batch([Call(request(i, 5)) for i in (1, 2, 3, 4)])
    assert [result(answer) for answer in answers] == ["Success"] * 4
    assert store.commits == [4]  # one for all
    assert store.threads == {threading.get_ident()}
    with server:
        assert not store.closed
    assert store.closed == 1
    with pytest.raises(lorajs.ClosedError):
        server.handle(request(1, 9))


def test_the_same_records_as_any_store(tmp_path: pathlib.Path) -> None:
    """A store in Python and SQLite hold the same of the same life."""
    master, answers = os.urandom(32), []
    for store in (DictStore(), lorajs.Store.sqlite(tmp_path / "db")):
        server = lorajs.JoinServer(lorajs.Vault(bytearray(master)), store, **LAB)
        server.make_device(lorajs.Device(lorajs.EUI(1), JOIN_EUI, lorajs.Mac.V1_0_4), app_key=KEY)
        codes = [result(server.handle(request(1, nonce))) for nonce in (1, 1, 5, 3, 6)]
        device = server.device(1)
        answers.append((codes, device.next_join_nonce, device.sessions, [s.nonce for s in lorajs.sessions(server.record(1))]))
    assert answers[0] == answers[1] and answers[0][0] == ["Success"] * 3 + ["JoinReqFailed", "Success"]


@pytest.mark.parametrize("name", ["get", "commit"])
@pytest.mark.parametrize("kind", [Boom, lorajs.NotFound, KeyboardInterrupt])
def test_what_it_raises_comes_out_of_handle(store: DictStore, name: str, kind: type[BaseException]) -> None:
    server = make(store)
    exc = kind(-6, "NOTFOUND", "of my own", "none") if kind is lorajs.NotFound else kind("mine")
    store.broken = broken_with(exc, name)
    calls: list[Callable[[], object]] = [
        lambda: server.handle(request(1, 1)),
        lambda: server.make_device(lorajs.Device(lorajs.EUI(9), JOIN_EUI, lorajs.Mac.V1_0_4), app_key=KEY),
        lambda: server.put_kek("label", KEY),
        lambda: server.block(2),
    ]
    calls += [server.ready, lambda: server.device(1), lambda: server.decisions(1)] if name == "get" else []
    for call in calls:
        with pytest.raises(kind) as caught:
            call()
        assert caught.value is exc
        assert traceback.extract_tb(exc.__traceback__)[-1].name == "broken"
        exc.__traceback__ = None
    store.broken = lambda name, about: None
    assert result(server.handle(request(1, 1))) == "Success"


def test_what_each_raises_comes_out(store: DictStore) -> None:
    server, exc = make(store), Boom()
    store.broken = broken_with(exc, "each")
    for call in (server.devices, server.keks):
        with pytest.raises(Boom) as caught:
            call()
        assert caught.value is exc
    store.broken = lambda name, about: None
    seen: list[int] = []

    def row(dev_eui: lorajs.EUI) -> None:
        seen.append(dev_eui)
        raise exc

    with pytest.raises(Boom) as caught:
        server.each_device(row)
    assert caught.value is exc and seen == [1] and isinstance(seen[0], lorajs.EUI)


def test_get_in_a_batch_belongs_to_its_message(store: DictStore) -> None:
    server, exc = make(store), Boom("of device 3 alone")

    def broken(name: str, about: object) -> None:
        if name == "get" and isinstance(about, bytes) and about.endswith(device_key(3)):
            raise exc

    store.broken = broken
    answers = server.handle_batch([Call(request(i, 7)) for i in (1, 2, 3, 4)])
    assert answers[2] is exc and [result(a) for a in answers[:2] + answers[3:]] == ["Success"] * 3
    # Twice in a batch: each message has its own, though it is one exception.
    answers = server.handle_batch([Call(request(i, n)) for i, n in ((3, 8), (1, 8), (3, 9), (1, 9), (3, 10))])
    assert [a is exc for a in answers] == [True, False, True, False, True]
    assert [result(a) for a in answers if a is not exc] == ["Success"] * 2


def test_commit_in_a_batch_belongs_to_all_that_wait(store: DictStore) -> None:
    server = make(store, devices=70)
    errors = [Boom("first"), Boom("second")]

    def broken(name: str, about: object) -> None:
        if name == "commit" and len(store.commits) >= 1:
            raise errors.pop(0)

    store.commits.clear()
    store.broken = broken
    batch = [Call(request(i, 1)) for i in range(1, 71)] + [Call(b"no message")]
    answers = server.handle_batch(batch)
    assert store.commits == [64]  # a commit for 64; the next one raised, and no other was tried
    assert [result(a) for a in answers[:64]] == ["Success"] * 64
    assert {type(a) for a in answers[64:70]} == {Boom} and len(set(map(id, answers[64:70]))) == 1 and len(errors) == 1
    store.broken = lambda name, about: None
    assert [result(a) for a in server.handle_batch(batch)[:70]] == ["Success"] * 70


def test_a_message_that_is_none_in_a_batch(store: DictStore) -> None:
    answers = make(store).handle_batch([Call(b"{"), Call(request(1, 1)), Call(b"")])
    assert result(answers[1]) == "Success"
    for answer in answers[::2]:
        assert isinstance(answer, lorajs.MessageError) and b"ResultCode" in answer.answer
    assert make(DictStore()).handle_batch([]) == []
    for wrong in ([(b"", 5, 0)], [("text", None, 0)], [5], [(b"",)], None):
        with pytest.raises((TypeError, ValueError)):
            make(DictStore()).handle_batch(wrong)  # type: ignore[arg-type]


def test_what_ends_with_an_exception_may_call(store: DictStore) -> None:
    """One that nobody is given goes in the middle of a batch, and takes what it had with it."""
    other, ended = make(lorajs.Store.memory()), []

    class Last(Exception):
        def __del__(self) -> None:
            with contextlib.suppress(lorajs.NotFound):
                other.device(999)
            ended.append(self)

    def log(decision: lorajs.Decision) -> None:
        raise Last("log")

    def broken(name: str, about: object) -> None:
        if name == "get":
            raise Last("get")

    server = make(store, log=log)
    store.broken = broken
    answers = server.handle_batch([Call(request(i, 1)) for i in (1, 2, 3)])
    assert ended and [answer.args for answer in answers if isinstance(answer, Last)] == [("get",)] * 3


def test_who_wants_all_to_end_ends_all(store: DictStore) -> None:
    server, exc = make(store), KeyboardInterrupt()
    store.broken = broken_with(exc, "get")
    with pytest.raises(KeyboardInterrupt) as caught:
        server.handle_batch([Call(request(i, 7)) for i in (1, 2, 3, 4)])
    assert caught.value is exc


def test_a_fate_that_is_unknown_is_loaded_again(store: DictStore) -> None:
    """UNKNOWN after it was done all the same: the answer is that of a repeat, and no JoinNonce is spent."""
    server = make(store)
    done, plain = [], store._group

    def unsure(group: Sequence[Change]) -> Outcome:
        outcome = plain(group)
        done.append(outcome)
        return Outcome.UNKNOWN if len(done) == 1 else outcome

    store._group = unsure  # type: ignore[method-assign]
    assert result(server.handle(request(1, 1))) == "Success"
    assert len(done) == 1 and server.device(1).next_join_nonce == 2


def test_a_race_is_a_retry(store: DictStore) -> None:
    server = make(store)
    lost, plain = [], store._group

    def raced(group: Sequence[Change]) -> Outcome:
        lost.append(group)
        return Outcome.CONFLICT if len(lost) < 5 else plain(group)

    store._group = raced  # type: ignore[method-assign]
    assert result(server.handle(request(1, 1))) == "Success" and len(lost) == 5


@pytest.mark.parametrize("gives", [[], [Outcome.DONE] * 3, ["done"], [False], [True], None])
def test_outcomes_that_are_none(gives: object) -> None:
    class Odd(DictStore):
        def commit(self, groups: Sequence[Sequence[Change]]) -> Sequence[Outcome]:
            return gives if self.version > 4 else super().commit(groups)  # type: ignore[return-value]

    server = make(Odd())
    with pytest.raises((TypeError, ValueError)):
        server.handle(request(1, 1))


def test_a_store_may_ask_another_server(store: DictStore) -> None:
    """A callback calls C again, which fails and raises in its turn: each call keeps its own."""
    inner = make(lorajs.Store.memory())

    def broken(name: str, about: object) -> None:
        if name == "get":
            with pytest.raises(lorajs.NotFound):
                inner.device(77)
            with pytest.raises(lorajs.MessageError):
                inner.handle(b"{")
            assert result(inner.handle(request(1, 1))) == "Success"
            answers = inner.handle_batch([Call(b"{"), Call(request(1, 1))])
            assert isinstance(answers[0], lorajs.MessageError) and result(answers[1]) == "Success"

    server = make(store)
    store.broken = broken
    assert [result(a) for a in server.handle_batch([Call(request(i, 3)) for i in (1, 2, 3)])] == ["Success"] * 3


def test_abstract_is_abstract() -> None:
    class Half(lorajs.StoreBase):
        def get(self, key: bytes) -> None:
            return None

    with pytest.raises(TypeError, match="abstract"):
        Half()  # type: ignore[abstract]


def test_close_drops_references_only(store: DictStore) -> None:
    """close() while another thread is in a call: that one ends well, and then the store is closed."""
    server, inside, go = make(store), threading.Event(), threading.Event()

    def slow(name: str, about: object) -> None:
        if name == "commit":
            inside.set()
            assert go.wait(10)

    store.broken = slow
    answers: list[bytes] = []
    thread = threading.Thread(target=lambda: answers.append(server.handle(request(1, 1))))
    thread.start()
    assert inside.wait(10)
    server.close()
    with pytest.raises(lorajs.ClosedError):
        server.handle(request(1, 2))
    assert store.closed == 0
    go.set()
    thread.join()
    assert result(answers[0]) == "Success"
    assert store.closed == 1


def test_nothing_keeps_a_closed_store() -> None:
    store = DictStore()
    server = make(store)
    store.server = server  # type: ignore[attr-defined]  # a cycle through C, which close() opens
    gone = weakref.ref(store)
    server.close()
    del server, store
    gc.collect()
    assert gone() is None


def test_a_fork_leaves_the_store_to_its_parent(store: DictStore) -> None:
    server = make(store)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            server.handle(request(1, 1))
        except lorajs.Fault as fault:
            del server
            gc.collect()
            status = 0 if fault.name == "STATE" and not store.closed else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert result(server.handle(request(1, 1))) == "Success"


# ---- the log -----------------------------------------------------------------


def test_the_log_is_told(store: DictStore) -> None:
    told: list[lorajs.Decision] = []
    server = make(store, log=told.append)
    server.handle(request(1, 1), now=1_700_000_000)
    server.handle(request(1, 1))
    server.handle(request(9, 1))
    with pytest.raises(lorajs.MessageError):
        server.handle(b"{")
    assert [(d.code, d.dev_eui, d.nonce, d.repeat) for d in told] == [
        (Code.OK, 1, 1, False), (Code.OK, 1, 1, True), (Code.DEVICE, 9, 0, False), (Code.MESSAGE, 0, 0, False)]
    assert told[0].type is MessageType.JOIN_REQ and told[0].at == 1_700_000_000 and told[0].net_id == 0x13
    assert told[2].error == "DEVICE" and told[2].text and told[2].remedy


def test_what_the_log_raises_comes_out(store: DictStore) -> None:
    exc = Boom()

    def log(decision: lorajs.Decision) -> None:
        if decision.dev_eui == 2:
            raise exc

    server = make(store, log=log)
    with pytest.raises(Boom) as caught:
        server.handle(request(2, 1))
    assert caught.value is exc
    assert server.device(2).state is lorajs.State.JOINED  # it is durable all the same
    answers = server.handle_batch([Call(b"{")] + [Call(request(i, 2)) for i in (1, 2, 3, 2)])
    assert isinstance(answers[0], lorajs.MessageError)
    assert answers[2] is exc and answers[4] is exc and result(answers[1]) == result(answers[3]) == "Success"
