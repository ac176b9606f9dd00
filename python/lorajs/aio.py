"""A Join Server for programs with an event loop: nothing in it ever waits for the store.

Messages that wait together are answered together, in a thread and with one commit for all of
them, so that the batches are as large as the load and not as the number of threads.  asyncio
alone; for HTTP see lorajs.asgi, for a database that has an asynchronous interface of its own
lorajs.join()."""

from __future__ import annotations

import asyncio
import copy
import logging
import os
import threading
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from typing import Iterable, Optional, Tuple

from . import native
from .errors import ClosedError, Refused, error
from .server import JoinServer

_log = logging.getLogger("lorajs.aio")


class QueueFull(Refused):
    """As many messages wait already as may: come again later."""

    def __init__(self) -> None:
        code = native.LJS_E_BUSY
        super().__init__(code, native.errname(code), native.strerror(code), native.remedy(code))

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), ()


# An ljs_err; the answer, b"" where there is none; what the store or the log raised.
Outcome = Tuple[int, bytes, Optional[BaseException]]


def _own(outcomes: Iterable[Outcome]) -> list[Outcome]:
    """What a commit raised is of all that waited for it: to each a copy, where it can be copied, since whoever raises
    an exception writes into it."""
    given: set[int] = set()
    own = []
    for err, answer, raised in outcomes:
        if raised is not None and id(raised) in given:
            raised = _copy(raised)
        given.add(id(raised))
        own.append((err, answer, raised))
    return own


def _copy(raised: BaseException) -> BaseException:
    kind = type(raised)
    try:
        if kind.__reduce__ is BaseException.__reduce__:  # not by an __init__ of its own, which may take other arguments
            twin = kind.__new__(kind, *raised.args)
            built_in = next(base for base in kind.__mro__ if base.__module__ == "builtins")
            built_in.__init__(twin, *raised.args)  # type: ignore[misc]  # this one, and none that derives from it
            vars(twin).update({name: [*value] if name == "__notes__" else value for name, value in vars(raised).items()})
        else:
            twin = copy.copy(raised)
        twin.__cause__, twin.__context__ = raised.__cause__, raised.__context__
        twin.__suppress_context__ = raised.__suppress_context__
        return twin.with_traceback(raised.__traceback__)
    except Exception:  # also of one that lets nothing be written into it
        return raised


class _Call:
    __slots__ = ("message", "peer", "now", "loop", "outcome")

    def __init__(self, message: bytes, peer: str | None, now: int, loop: asyncio.AbstractEventLoop) -> None:
        self.message = message
        self.peer = peer
        self.now = now
        self.loop = loop
        self.outcome: asyncio.Future[Outcome] = loop.create_future()


class AsyncJoinServer:
    """handle() of a JoinServer, to be awaited.

    One object serves any number of event loops.  The JoinServer stays yours: it may be called
    beside this, is kept alive by it, and is not closed with it."""

    def __init__(self, server: JoinServer, *, queue: int = 1024, batch: int = 64, workers: int = 2,
                 flush: float = 10.0) -> None:
        """At most `queue` messages wait; `workers` threads take up to `batch` of them at a time.

        What JoinServer.decisions() tells of refusals is written at most `flush` seconds after them.
        ValueError for a number below 1, or `flush` not above 0."""
        if min(queue, batch, workers) < 1 or not flush > 0:
            raise ValueError("queue, batch and workers are at least 1, flush is above 0")
        self.server = server
        self._process = os.getpid()
        self._queue, self._batch, self._workers, self._flush_after = queue, batch, workers, flush
        self._lock = threading.Lock()  # of all below; nobody waits while holding it
        self._waiting: OrderedDict[_Call, None] = OrderedDict()
        self._working = 0
        self._closed = False
        self._threads: ThreadPoolExecutor | None = None
        self._flushes_in: set[asyncio.AbstractEventLoop] = set()

    async def handle(self, message: bytes, *, peer: str | None = None, now: int = 0) -> bytes:
        """Answer one Backend Interfaces message, as JoinServer.handle() does, with its exceptions.

        Whoever is cancelled while the message waits takes it back; later it is answered for nobody,
        and the same request is answered the same again.  QueueFull; ClosedError after aclose()."""
        err, answer, raised = await self.outcome(message, peer=peer, now=now)
        try:
            if raised:
                del answer  # which a traceback would show, and which may have keys in clear
                raise raised
        finally:
            del raised  # or the frame in its traceback has it, and both wait for the collector
        if err:
            raise error(err)
        return answer

    async def outcome(self, message: bytes, *, peer: str | None = None, now: int = 0) -> Outcome:
        """The same without its exceptions: (ljs_err, answer, what a store of yours raised).

        With 0 there is an answer, also to whom it raised: `Other`; with LJS_E_MESSAGE one that says
        so; with another error there may be none.  QueueFull; ClosedError; Fault STATE after a fork."""
        if os.getpid() != self._process:  # its threads are not here
            raise error(native.LJS_E_STATE)
        loop = asyncio.get_running_loop()
        call = _Call(bytes(memoryview(message)), peer, now, loop)
        with self._lock:
            if self._closed:
                raise ClosedError("the join server is closed")
            if len(self._waiting) >= self._queue:
                raise QueueFull
            if self._working < self._workers:
                self._pool().submit(self._work)
                self._working += 1
            self._waiting[call] = None
        try:
            return await call.outcome
        except asyncio.CancelledError:
            with self._lock:
                self._waiting.pop(call, None)
            raise

    def reopen(self) -> None:
        """After aclose(): take messages again."""
        with self._lock:
            self._closed = False

    async def aclose(self) -> None:
        """No more messages; returns when those that wait are answered and decisions are written."""
        with self._lock:
            self._closed = True
        await asyncio.get_running_loop().run_in_executor(None, self._drain)

    # -- in threads

    def _pool(self) -> ThreadPoolExecutor:
        if self._threads is None:  # one more, so that load keeps no decision from being written
            self._threads = ThreadPoolExecutor(self._workers + 1, "lorajs")
        return self._threads

    def _take(self) -> list[_Call]:
        """Empty when the worker is to end."""
        with self._lock:
            taken = [self._waiting.popitem(last=False)[0] for _ in range(min(self._batch, len(self._waiting)))]
            if not taken:
                self._working -= 1
            return taken

    def _work(self) -> None:
        while calls := self._take():
            by_loop: dict[asyncio.AbstractEventLoop, list[tuple[_Call, Outcome]]] = {}
            for call, outcome in zip(calls, self._answer(calls)):
                by_loop.setdefault(call.loop, []).append((call, outcome))
            for loop, settled in by_loop.items():
                try:
                    loop.call_soon_threadsafe(self._settle, loop, settled)
                except RuntimeError:  # the loop is closed, and who waited in it is gone
                    pass

    def _answer(self, calls: list[_Call]) -> list[Outcome]:
        try:
            return _own(native.server_handle_batch(self.server._open, [(c.peer, c.now, c.message) for c in calls]))
        except BaseException as raised:  # whatever it is, it is for whoever asked
            if len(calls) == 1 or not isinstance(raised, Exception):
                return _own([(native.LJS_E_STATE, b"", raised)] * len(calls))
            return [outcome for call in calls for outcome in self._answer([call])]  # one of them is to blame

    def _settle(self, loop: asyncio.AbstractEventLoop, settled: list[tuple[_Call, Outcome]]) -> None:
        for call, outcome in settled:
            if not call.outcome.done():  # else nobody waits for it any more
                call.outcome.set_result(outcome)
        with self._lock:
            if loop in self._flushes_in:
                return
            # In this one, too: others may never run again.
            self._flushes_in = {other for other in self._flushes_in if not other.is_closed()} | {loop}
        loop.call_later(self._flush_after, self._flush_now, loop)

    def _flush_now(self, loop: asyncio.AbstractEventLoop) -> None:
        with self._lock:
            self._flushes_in.discard(loop)
            if not self._closed:
                self._pool().submit(self._flush)

    def _flush(self) -> None:
        try:
            self.server.flush()
        except ClosedError:
            pass
        except Exception:
            _log.exception("cannot write decisions")

    def _drain(self) -> None:
        with self._lock:
            threads, self._threads = self._threads, None
        if threads:
            threads.shutdown()  # a worker ends when nothing waits any more
        self._flush()
