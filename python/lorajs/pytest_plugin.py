"""Fixtures for pytest: simulated devices, a channel and a Join Server for tests of *your* servers.

    def test_my_network_server(lorajs_device, lorajs_channel):
        device = lorajs_device("1.1")
        channel = lorajs_channel(my_network.hear, loss=30)
        assert device.join(channel)

What the parts do is in lorajs.testing.  All that is drawn in a test follows from its name and
--lorajs-seed; the report of a test that fails has its trace."""

from __future__ import annotations

import pathlib
import re
from typing import TYPE_CHECKING, Any, Callable, Generator, Iterator

import pytest

if TYPE_CHECKING:  # else imported by the tests that use it: pytest loads this file for all others, too
    from . import Mac, asgi
    from .testing import (
        Channel,
        Clock,
        Network,
        SimulatedDevice,
        SimulatedJoinServer,
        SimulatedNetwork,
        Trace,
    )


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("lorajs", "simulated LoRaWAN devices")
    group.addoption("--lorajs-seed", default="lorajs", metavar="TEXT",
                    help="what simulated devices and channels draw from, with the name of the test (default: lorajs)")
    group.addoption("--lorajs-traces", metavar="DIR", type=pathlib.Path,
                    help="write the trace of each test that has one there, as a Mermaid sequence diagram")


@pytest.fixture
def lorajs_seed(request: pytest.FixtureRequest) -> str:
    """What everything in this test is drawn from."""
    return f"{request.config.getoption('--lorajs-seed')} {request.node.nodeid}"


@pytest.fixture
def lorajs_clock() -> Clock:
    """The simulated time of this test."""
    from .testing import Clock

    return Clock()


@pytest.fixture
def lorajs_trace(request: pytest.FixtureRequest) -> Iterator[Trace]:
    """Who said what in this test."""
    from .testing import Trace

    trace = request.node._lorajs_trace = Trace()
    yield trace
    directory = request.config.getoption("--lorajs-traces")
    if directory and trace.entries:
        directory.mkdir(parents=True, exist_ok=True)
        name = re.sub(r"[^\w.-]+", "-", request.node.nodeid)[-200:]
        (directory / f"{name}.mmd").write_text(trace.mermaid(), "utf-8")


@pytest.hookimpl(hookwrapper=True)  # type: ignore[misc]  # pytest has no types for it
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, None]:
    report = (yield).get_result()
    trace = getattr(item, "_lorajs_trace", None)
    if report.failed and trace is not None and trace.entries:
        seed = item.config.getoption("--lorajs-seed")
        report.sections.append((f"lorajs trace, --lorajs-seed={seed}", trace.text()))


@pytest.fixture
def lorajs_join_server(lorajs_clock: Clock, lorajs_trace: Trace) -> Iterator[SimulatedJoinServer]:
    """A Join Server in this process, over a store in memory.

    It answers anybody, with keys in clear, until the test calls set_peers()."""
    from .testing import SimulatedJoinServer

    with SimulatedJoinServer(clock=lorajs_clock, trace=lorajs_trace) as server:
        yield server


@pytest.fixture
def lorajs_peer() -> asgi.PeerOf | None:
    """Override it: whom lorajs_join_server_url takes a request for, as `peer` of lorajs.asgi.app()."""
    return None


@pytest.fixture
def lorajs_join_server_url(lorajs_join_server: SimulatedJoinServer, lorajs_peer: asgi.PeerOf | None) -> Iterator[str]:
    """The same over HTTP, on a port of the loopback address, from a thread."""
    from . import asgi
    from .testing import serve

    with serve(asgi.app(lorajs_join_server, peer=lorajs_peer)) as url:
        yield url


@pytest.fixture
def lorajs_device(lorajs_join_server: SimulatedJoinServer, lorajs_clock: Clock, lorajs_trace: Trace,
                  lorajs_seed: str) -> Callable[..., SimulatedDevice]:
    """lorajs_device("1.0.4"): an end device that lorajs_join_server knows.

    lorajs_device(mac="1.1", dev_eui=..., join_eui=..., provision=True, members={}, ...): with
    provision=False the Join Server is not told of it, `members` are those of lorajs.Device there, and
    the rest is SimulatedDevice's."""
    from .testing import DEVICE, SimulatedDevice

    made = 0

    def make(mac: Mac | str = "1.1", *, dev_eui: int | None = None, join_eui: int = 0x0200000000000001,
             provision: bool = True, members: dict[str, Any] | None = None, **options: Any) -> SimulatedDevice:
        nonlocal made
        made += 1
        options.setdefault("actor", DEVICE if made == 1 else f"{DEVICE} {made}")
        device = SimulatedDevice(0x0200000000010000 + made if dev_eui is None else dev_eui, join_eui, mac,
                                 seed=lorajs_seed, clock=lorajs_clock, trace=lorajs_trace, **options)
        if provision:
            device.provision(lorajs_join_server, **(members or {}))
        return device

    return make


@pytest.fixture
def lorajs_channel(lorajs_trace: Trace, lorajs_seed: str) -> Callable[..., Channel]:
    """lorajs_channel(network, loss=30, duplicate=5, reorder=5): a bad channel in front of a network."""
    from .testing import Channel

    made = 0

    def make(network: Network, **more: Any) -> Channel:
        nonlocal made
        made += 1
        given: dict[str, Any] = {"seed": f"{lorajs_seed} {made}", "trace": lorajs_trace, **more}
        return Channel(network, **given)

    return make


@pytest.fixture
def lorajs_network(lorajs_join_server: SimulatedJoinServer, lorajs_clock: Clock,
                   lorajs_trace: Trace) -> SimulatedNetwork:
    """A network server over lorajs_join_server, where yours is not what is tested."""
    from .testing import SimulatedNetwork

    return SimulatedNetwork(lorajs_join_server.handle, clock=lorajs_clock, trace=lorajs_trace)
