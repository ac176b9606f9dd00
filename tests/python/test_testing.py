"""lorajs.testing and its pytest plugin: devices of every version, channels, traces."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import re
import subprocess
import sys
import urllib.error
import urllib.request
from typing import Any, Callable

import pytest

import lorajs
from lorajs import asgi, native, testing
from lorajs.testing import Channel, Clock, SimulatedDevice, SimulatedJoinServer, SimulatedNetwork, Trace

pytest_plugins = ["pytester"]
VERSIONS = ["1.0.0", "1.0.1", "1.0.2", "1.0.3", "1.0.4", "1.1"]
DEV_EUI, JOIN_EUI = 0x0102030405060708, 0x70B3D57ED0000000


class World:
    """A device, a network and a Join Server."""

    def __init__(self, mac: str = "1.1", *, network_mac: str | None = None, channel: dict[str, Any] | None = None,
                 seed: object = 1, **options: int) -> None:
        self.clock, self.trace = Clock(), Trace()
        self.server = SimulatedJoinServer(clock=self.clock, trace=self.trace)
        self.network = SimulatedNetwork(self.server.handle, mac=network_mac or mac, clock=self.clock, trace=self.trace)
        self.device = SimulatedDevice(DEV_EUI, JOIN_EUI, mac, seed=seed, clock=self.clock, trace=self.trace, **options)
        self.device.provision(self.server)
        self.air = Channel(self.network, seed=seed, trace=self.trace, **(channel or {}))

    def payloads(self) -> list[bytes]:
        """What the application server reads, with the keys that the Join Server gave."""
        return [data.open(data.app_s.open()) for data in self.network.heard]


@pytest.mark.parametrize("mac", VERSIONS)
def test_a_device_of_each_version_joins_and_talks(mac: str) -> None:
    world = World(mac)
    assert world.device.state.name == "IDLE" and not world.device.joined and not world.device.session_keys()
    assert world.device.join(world.air) and world.device.state.name == ("REKEYING" if mac == "1.1" else "JOINED")
    heard = world.device.say(world.air, b"up", port=7, confirmed=True)
    assert [h.heard.acked for h in heard] == [True] and world.device.state.name == "JOINED"
    assert [h.rekeyed for h in heard] == [mac == "1.1"]
    world.network.say(DEV_EUI, b"down", world.device.session_keys()["AppSKey"], port=9)
    [heard_one] = world.device.say(world.air, b"more")
    assert (heard_one.heard.fport, heard_one.heard.payload) == (9, b"down")
    assert world.payloads() == [b"up", b"more"] and world.network.heard[0].port == 7
    assert world.network.session(DEV_EUI).state.name == "ACTIVE" and not world.device.refused
    # Both have the keys that the Join Server gave.
    keys, answer = world.device.session_keys(), world.network.answers[-1]
    assert set(keys) == {"AppSKey", *(("FNwkSIntKey", "SNwkSIntKey", "NwkSEncKey") if mac == "1.1" else ["NwkSKey"])}
    given = {"NwkSKey": answer.nwk_s, "FNwkSIntKey": answer.f_nwk_s_int, "SNwkSIntKey": answer.s_nwk_s_int,
             "NwkSEncKey": answer.nwk_s_enc, "AppSKey": answer.app_s}
    assert {name: key.export() for name, key in keys.items()} == {name: given[name].open().export() for name in keys}


def test_1_1_on_a_network_of_1_0() -> None:
    world = World("1.1", network_mac="1.0.4")
    assert world.device.join(world.air) and world.device.state.name == "JOINED"
    world.device.say(world.air, b"up")
    assert world.payloads() == [b"up"] and set(world.device.session_keys()) == {"NwkSKey", "AppSKey"}


@pytest.mark.parametrize("kind", [0, 2])
def test_a_device_rejoins_when_it_is_told(kind: int) -> None:
    world = World()
    assert world.device.join(world.air)
    world.device.say(world.air, b"one")
    before = world.network.session(DEV_EUI).current.session_key_id
    world.network.force_rejoin(DEV_EUI, kind)
    world.device.say(world.air, b"two")
    assert any(heard.rejoined for heard in world.device.wait(world.air))
    assert world.device.state.name == "REKEYING" and world.network.session(DEV_EUI).state.name == "SWITCHING"
    assert any(heard.rekeyed for heard in world.device.say(world.air, b"three"))
    assert world.network.session(DEV_EUI).current.session_key_id != before and world.payloads() == [b"one", b"two", b"three"]
    assert f"rejoin-request {kind}, RJcount0 0, as told" in world.trace.text()


def test_a_device_rejoins_by_itself() -> None:
    world = World(rejoin1_period=86400)
    assert world.device.join(world.air)
    world.device.say(world.air, b"one")
    assert any(heard.rejoined for heard in world.device.wait(world.air)) and world.clock.now >= 86_400_000
    assert "rejoin-request 1, RJcount1 0" in world.trace.text()


def test_power_loss_uses_no_counter_twice() -> None:
    world = World(fcnt_reserve=4)
    assert world.device.join(world.air)
    for i in range(6):
        world.device.say(world.air, b"%d" % i)
    world.device.power_loss()
    assert world.device.joined
    world.device.say(world.air, b"after")
    counters = [data.fcnt for data in world.network.heard]
    assert counters == sorted(set(counters)) and world.payloads()[-1] == b"after"


@pytest.mark.parametrize("mac", ["1.0.4", "1.1"])
def test_a_device_says_again_what_was_not_acknowledged(mac: str) -> None:
    world = World(mac)
    with pytest.raises(lorajs.Fault):
        world.device.send_again()
    assert world.device.join(world.air)
    lost = Channel(world.network, loss=100, trace=world.trace)
    assert world.device.say(lost, b"up", confirmed=True) == [] == world.device.say_again(lost, channel=2)
    assert world.payloads() == []
    [heard] = world.device.say_again(world.air, data_rate=1, channel=5)
    assert heard.heard.acked and world.payloads() == [b"up"] and world.device.session.fcnt_up == 1
    with pytest.raises(lorajs.Fault):  # it was acknowledged
        world.device.say_again(world.air)
    # The network has it, and the ACK is lost: it is acknowledged again, and read once.
    world.network(world.device.send(b"more", confirmed=True))
    world.device.lost()
    [heard] = world.device.say_again(world.air)
    assert heard.heard.acked and world.payloads() == [b"up", b"more"] and not world.device.refused
    assert "uplink 1, again" in world.trace.text()
    # What was sent before a power loss is forgotten.
    world.device.send(b"last", confirmed=True)
    world.device.power_loss()
    with pytest.raises(lorajs.Fault):
        world.device.send_again()


def test_a_forged_accept_is_refused() -> None:
    world = World("1.0.4")
    uplink = world.device.start()
    assert uplink is not None and uplink.is_request
    [accept] = world.network(uplink)
    with pytest.raises(testing.NotHeard) as refused:
        world.device.hear(accept[:-1] + bytes([accept[-1] ^ 1]))
    assert isinstance(refused.value.__cause__, lorajs.Refused)
    assert world.device.refused == 1 and not world.device.joined and "refused: " in world.trace.text()
    assert world.device.hear(accept).joined
    with pytest.raises(testing.NotHeard):
        world.device.hear(accept)
    for garbage in b"", b"\x20", bytes(17), b"\x60" + bytes(11), bytes(300)[:255]:
        with pytest.raises(testing.NotHeard):
            world.device.hear(garbage)


def test_the_same_seed_is_the_same_life() -> None:
    def life(seed: int) -> str:
        world = World(seed=seed, channel={"loss": 30, "duplicate": 20, "reorder": 20})
        assert world.device.join(world.air)
        for i in range(20):
            if world.device.joined:
                world.device.say(world.air, b"%d" % i, confirmed=True)
            else:
                world.device.wait(world.air)
        return world.trace.text()

    assert life(5) == life(5) != life(6)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("mac", ["1.0.3", "1.1"])
def test_a_bad_channel_heals(mac: str, seed: int) -> None:
    """Whatever was lost: in the end there is one session, and what is read was said, once, in order."""
    world = World(mac, seed=seed, channel={"loss": 40, "duplicate": 20, "reorder": 30}, adr_ack_limit=4, link_limit=8)
    said: list[bytes] = []

    def talk(rounds: int) -> None:
        for _ in range(rounds):
            if not world.device.joined:
                world.device.join(world.air)
                continue
            said.append(b"%d" % len(said))
            world.device.say(world.air, said[-1], confirmed=True)
            if mac == "1.1" and len(said) % 7 == 0 and world.network.session(DEV_EUI).state.name == "ACTIVE":
                world.network.force_rejoin(DEV_EUI)
                world.device.wait(world.air)

    talk(30)
    assert world.air.lost and world.air.copies and world.air.held_back
    world.air.heal()
    talk(20)
    read = world.payloads()
    assert read[-1] == said[-1] and len(set(read)) == len(read) and set(read) <= set(said)
    assert [int(payload) for payload in read] == sorted(int(payload) for payload in read)
    assert world.device.state.name == "JOINED" and world.network.session(DEV_EUI).state.name in ("ACTIVE", "SWITCHING")


def test_a_channel_that_loses_all_and_one_that_loses_none() -> None:
    world = World("1.0.4", channel={"loss": 100})
    assert not world.device.join(world.air, tries=3) and world.air.lost == 3
    world.air.heal()
    assert world.device.join(world.air)
    for wrong in {"loss": -1}, {"loss": 101}, {"duplicate": 200}, {"reorder": -5}:
        with pytest.raises(ValueError):
            Channel(world.network, **wrong)
    with pytest.raises(TypeError):
        SimulatedDevice(1, 2, "1.1", colour=3)
    with pytest.raises(ValueError):
        SimulatedDevice(1, 2, "1.0.4", nwk_key=lorajs.Key.generate())
    with pytest.raises(ValueError):
        world.clock.advance(-1)


def uplinks(number: int) -> list[testing.Uplink]:
    return [testing.Uplink(b"%d" % i, lorajs.EUI(1), lorajs.Mac.V1_1, False, i * 1000) for i in range(number)]


def test_what_is_held_back_comes_later_both_ways() -> None:
    heard: list[bytes] = []

    def echo(uplink: testing.Uplink) -> bytes:
        heard.append(uplink.phy)
        return b"re " + uplink.phy

    air = Channel(echo, reorder=100)
    sent = uplinks(60)
    downlinks = [phy for uplink in sent[:50] for phy in air(uplink)]
    assert heard != sorted(heard, key=int), "nothing was overtaken"
    air.heal()
    downlinks += [phy for uplink in sent[50:] for phy in air(uplink)]
    assert sorted(heard, key=int) == [uplink.phy for uplink in sent]
    assert sorted(downlinks) == sorted(b"re " + uplink.phy for uplink in sent) and downlinks != sorted(downlinks)


def test_what_is_doubled_comes_twice_both_ways() -> None:
    heard: list[bytes] = []

    def echo(uplink: testing.Uplink) -> list[bytes]:
        heard.append(uplink.phy)
        return [b"re " + uplink.phy]

    air = Channel(echo, duplicate=100)
    downlinks = [phy for uplink in uplinks(5) for phy in air(uplink)]
    assert heard == [b"%d" % (i // 2) for i in range(10)]
    assert downlinks == [b"re %d" % (i // 4) for i in range(20)] and air.copies == 15


def test_a_channel_of_many_devices_keeps_them_apart() -> None:
    air = Channel(lambda uplink: bytes(uplink.phy), reorder=50)
    for i, uplink in enumerate(uplinks(200)):
        owner = lorajs.EUI(i % 3)
        for phy in air(dataclasses.replace(uplink, dev_eui=owner)):
            assert int(phy) % 3 == owner


def test_traces() -> None:
    world = World("1.0.4", channel={"loss": 100})
    world.device.join(world.air, tries=1)
    world.air.heal()
    world.device.join(world.air)
    world.trace.note(world.clock.now, "device", "a note; with # signs")
    lines = world.trace.text().splitlines()
    assert lines[:2] == ["  0d 00:00:00.000  device         JOINING",
                         "  0d 00:00:01.500  device      -x network      join-request, DevNonce 0"]
    said = [line.split("  ")[-1] for line in lines]
    assert ["JoinReq", "JoinAns"] == [text for text in said if text.startswith("Join")]
    mermaid = world.trace.mermaid().splitlines()
    assert mermaid[:5] == ["sequenceDiagram", "    participant A0 as device", "    participant A1 as network",
                           "    participant A2 as join server", "    Note over A0: JOINING"]
    assert mermaid[5] == "    A0-xA1: 0d 00:00:01.500 join-request, DevNonce 0"
    assert any(line.startswith("    A1->>A2: ") and line.endswith(" JoinReq") for line in mermaid)
    assert mermaid[-1] == "    Note over A0: a note#59; with #35; signs"


def test_no_key_is_shown() -> None:
    world = World()
    world.device.join(world.air)
    shown = repr(world.device) + world.trace.text() + world.trace.mermaid() + repr(world.network.heard)
    for key in [world.device.app_key, world.device.nwk_key, *world.device.session_keys().values()]:
        assert key.export().hex() not in shown.lower()


def test_peers_are_held_to_their_names() -> None:
    world = World("1.0.4")
    world.server.set_peers([lorajs.Peer("ns", net_ids=(0x13,), clear=lorajs.Clear.NS)])
    world.network.ask = lambda message: world.server.handle(message, peer="other")
    assert not world.device.join(world.air, tries=2)
    assert "JoinAns: UnknownSender" in world.trace.text()
    world.network.ask = lambda message: world.server.handle(message, peer="ns")
    assert world.device.join(world.air)


def test_keks() -> None:
    world = World()
    kek = lorajs.Key.generate()
    world.server.put_kek("ns", kek)
    world.server.set_peers([lorajs.Peer("ns", net_ids=(0x13,), keks=("ns",), clear=lorajs.Clear.AS)])
    world.network.ask, world.network.kek = lambda message: world.server.handle(message, peer="ns"), kek
    assert world.device.join(world.air)
    world.device.say(world.air, b"up")
    [data] = world.network.heard
    assert world.network.answers[-1].f_nwk_s_int.kek_label == "ns"
    assert data.app_s is not None and data.open(data.app_s.open()) == b"up"


def test_an_answer_without_keys_is_told() -> None:
    world = World("1.0.4")

    def without_keys(message: bytes) -> bytes:
        answer = json.loads(world.server.handle(message))
        del answer["NwkSKey"]
        return json.dumps(answer).encode()

    world.network.ask = without_keys
    assert not world.device.join(world.air, tries=1)
    assert "refused: not a Backend Interfaces message" in world.trace.text()


def test_served_over_http() -> None:
    with SimulatedJoinServer() as server, testing.serve(asgi.app(server)) as url:
        assert url.startswith("http://127.0.0.1:")
        for body, status in (b"{}", 200), (b"{", 400):
            try:
                with urllib.request.urlopen(urllib.request.Request(url + "/any", body), timeout=20) as answer:
                    assert answer.status == status
            except urllib.error.HTTPError as err:
                assert err.code == status
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(url, timeout=20)
        assert refused.value.code == 405
    with pytest.raises(OSError):
        urllib.request.urlopen(url, timeout=5)


# ---- the plugin ------------------------------------------------------------------


@pytest.fixture
def run(pytester: pytest.Pytester) -> Callable[..., pytest.RunResult]:
    def runner(source: str, *args: str) -> pytest.RunResult:
        pytester.makepyfile(source)
        return pytester.runpytest_inprocess("-p", "lorajs.pytest_plugin", "-p", "no:cacheprovider", *args)

    return runner


def test_plugin_a_network_server_under_test(run: Callable[..., pytest.RunResult]) -> None:
    run("""
        import json, urllib.request, pytest

        class MyNetwork:  # which takes no notice of data
            def __init__(self, url): self.url = url
            def hear(self, uplink):
                if not uplink.is_request: return None
                request = {"ProtocolVersion": "1.0", "SenderID": "000013", "ReceiverID": "0200000000000001",
                           "TransactionID": 1, "MessageType": "JoinReq", "MACVersion": "1.0.4",
                           "PHYPayload": uplink.phy.hex(), "DevEUI": str(uplink.dev_eui), "DevAddr": "26011234",
                           "DLSettings": "00", "RxDelay": 1}
                with urllib.request.urlopen(self.url, json.dumps(request).encode()) as answer:
                    return bytes.fromhex(json.load(answer)["PHYPayload"])

        @pytest.mark.parametrize("loss", [0, 50])
        def test_join(lorajs_device, lorajs_channel, lorajs_join_server_url, loss):
            network = MyNetwork(lorajs_join_server_url)
            for device in [lorajs_device("1.0.4"), lorajs_device("1.0.4")]:
                assert device.join(lorajs_channel(network.hear, loss=loss)) and device.dev_addr == 0x26011234
    """).assert_outcomes(passed=2)


def test_plugin_an_application_server_under_test(run: Callable[..., pytest.RunResult]) -> None:
    run("""
        import pytest
        def test_data(lorajs_device, lorajs_network, lorajs_join_server):
            device = lorajs_device("1.1", members={"as_id": "my-as"})
            assert lorajs_join_server.device(device.dev_eui).as_id == "my-as"
            assert device.join(lorajs_network)
            device.say(lorajs_network, b"21.5", port=3)
            [data] = lorajs_network.heard
            assert data.open(device.session_keys()["AppSKey"]) == b"21.5"

        def test_unknown(lorajs_device, lorajs_network):
            assert not lorajs_device("1.0.4", provision=False).join(lorajs_network, tries=2)

        class TestPeer:
            @pytest.fixture
            def lorajs_peer(self):
                return lambda scope: "ns"

            def test_peer(self, lorajs_join_server_url):
                import json, urllib.request
                body = b'{"ProtocolVersion":"1.0","MessageType":"JoinReq","SenderID":"000013","ReceiverID":"0200000000000001"}'
                with urllib.request.urlopen(lorajs_join_server_url, body) as answer:
                    assert json.load(answer)["Result"]["ResultCode"] == "UnknownSender"
    """).assert_outcomes(passed=3)


def test_plugin_the_report_of_a_failure_has_the_trace(run: Callable[..., pytest.RunResult]) -> None:
    source = """
        def test_it(lorajs_device, lorajs_network):
            assert lorajs_device("1.0.3", provision=False).join(lorajs_network, tries=1)
    """
    done = run(source, "--lorajs-seed", "one")
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["*lorajs trace, --lorajs-seed=one*", "*device * -> network * join-request, DevNonce *",
                               "*join server -> network *JoinAns: UnknownDevEUI*"])

    def nonce(*args: str) -> str:
        [line] = [line for line in run(source, *args).stdout.lines if "-> network" in line and "DevNonce" in line]
        return line

    assert nonce("--lorajs-seed", "one") == nonce("--lorajs-seed", "one") != nonce("--lorajs-seed", "two")


def test_plugin_writes_traces(run: Callable[..., pytest.RunResult], tmp_path: pathlib.Path) -> None:
    run("""
        def test_one(lorajs_device, lorajs_network):
            assert lorajs_device("1.0.4").join(lorajs_network)
        def test_none(lorajs_seed): pass
    """, "--lorajs-traces", str(tmp_path / "traces")).assert_outcomes(passed=2)
    [written] = (tmp_path / "traces").iterdir()
    assert written.suffix == ".mmd" and "test_one" in written.name
    assert written.read_text().startswith("sequenceDiagram\n")


def test_plugin_as_the_readme_shows_it(run: Callable[..., pytest.RunResult]) -> None:
    readme = (pathlib.Path(__file__).resolve().parents[2] / "README.md").read_text()
    [source] = [block for block in re.findall(r"```python\n(.*?)```", readme, re.S) if "lorajs_device" in block]
    run(source).assert_outcomes(passed=1)


def test_plugin_costs_little_unasked(run: Callable[..., pytest.RunResult]) -> None:
    code = "import sys, lorajs.pytest_plugin; print([m for m in sys.modules if m in ('lorajs.testing', 'asyncio', 'ssl')])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout.split() == [b"[]"]
    run("def test_it(): pass", "--fixtures").stdout.fnmatch_lines_random(["*lorajs_channel*", "*lorajs_device*"])
