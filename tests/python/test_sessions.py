"""Both ends of a session from Python, with a Join Server between them: joins, data both ways, rejoins."""

from __future__ import annotations

import os

import pytest

import lorajs
from lorajs import Clear, Due, EndDeviceState, MessageType, NetworkState, Scheme, Sends

DEV_EUI, JOIN_EUI = lorajs.EUI("0102030405060708"), lorajs.EUI("70b3d57ed0000000")
NET_ID, DEV_ADDR = lorajs.NetID("000013"), lorajs.DevAddr("26011234")


class SoftElement(lorajs.SecureElementBase):
    """A secure element of one's own: aes128 by the library, keys in a dictionary."""

    def __init__(self, nwk: lorajs.Key, app: lorajs.Key | None) -> None:
        self.keys = {lorajs.ElementKey.NWK: nwk}
        if app:
            self.keys[lorajs.ElementKey.APP] = app
        self.closed = False

    def derive(self, to: lorajs.ElementKey, from_: lorajs.ElementKey, block: bytes) -> None:
        self.keys[to] = lorajs.Key.from_bytes(bytearray(self.keys[from_].encrypt(block)))

    def encrypt(self, id: lorajs.ElementKey, octets: bytes) -> bytes:
        return b"".join(self.keys[id].encrypt(octets[at : at + 16]) for at in range(0, len(octets), 16))

    def cmac(self, id: lorajs.ElementKey, octets: bytes) -> bytes:
        return self.keys[id].cmac(octets)

    def has(self, id: lorajs.ElementKey) -> bool:
        return id in self.keys

    def close(self) -> None:
        self.closed = True


class World:
    """A device, its network server and its Join Server, and nothing that gets lost."""

    def __init__(self, mac: lorajs.Mac, element: type) -> None:
        self.mac, self.now, self.transaction = mac, 1000, 0
        self.nwk, self.app = lorajs.Key.generate(), lorajs.Key.generate() if mac >= lorajs.Mac.V1_1 else None
        self.vault = lorajs.Vault.generate()
        self.server = lorajs.JoinServer(self.vault, lorajs.Store.memory(), lifetime=60)
        self.kek = lorajs.Key.generate()
        self.server.put_kek("ns", self.kek)
        self.server.set_peers([lorajs.Peer("ns", net_ids=(NET_ID,), keks=("ns",)),
                               lorajs.Peer("as", as_ids=("as.example",), clear=Clear.AS)])
        self.server.make_device(lorajs.Device(DEV_EUI, JOIN_EUI, mac, as_id="as.example"), nwk_key=self.nwk,
                                app_key=self.app)
        make = SoftElement if element is SoftElement else lorajs.SecureElement.software
        made = make(self.nwk, self.app)
        self.device = lorajs.EndDevice(made)
        self.dev = self.device.new(lorajs.EndDeviceOptions(JOIN_EUI, DEV_EUI, mac))
        self.ns = lorajs.NetworkSide(self.vault)
        self.net = self.ns.new(lorajs.NetworkOptions(DEV_EUI, NET_ID))
        self.session_key_id = b""

    def step(self, event: lorajs.Event) -> lorajs.EndDeviceOutput:
        self.dev, out = self.device.step(self.dev, event)
        return out

    def join(self, out: lorajs.EndDeviceOutput) -> lorajs.EndDeviceOutput:
        """A (re)join-request, all the way to the Join Server and back."""
        frame = lorajs.Frame.parse(out.frame)
        self.transaction += 1
        dl_settings = 0x80 if self.mac >= lorajs.Mac.V1_1 else 0
        if frame.kind is lorajs.FrameKind.JOIN:
            request = lorajs.Message.join_req(NET_ID, JOIN_EUI, DEV_EUI, out.frame, mac=self.mac, dev_addr=DEV_ADDR,
                                              dl_settings=dl_settings, transaction_id=self.transaction)
        else:
            self.net, route = self.ns.rejoin(self.net, out.frame, now=self.now)
            assert route.kind is frame.kind and route.checked == (frame.kind is not lorajs.FrameKind.REJOIN1)
            request = lorajs.Message.rejoin_req(NET_ID, JOIN_EUI, DEV_EUI, out.frame, dev_addr=DEV_ADDR,
                                                transaction_id=self.transaction)
        answer = request.read_answer(self.server.handle(request.build(), peer="ns"))
        assert answer.result is lorajs.Code.OK and answer.lifetime == 60
        scheme = Scheme.V1_1 if dl_settings else Scheme.V1_0
        envelopes = answer.f_nwk_s_int or answer.nwk_s, answer.s_nwk_s_int, answer.nwk_s_enc
        keys = [envelope.open(self.kek) for envelope in envelopes if envelope]
        assert len(keys) == (3 if scheme is Scheme.V1_1 else 1)
        accepted = lorajs.Accepted(self.now, frame.kind, scheme, self.mac, frame.nonce, DEV_ADDR, answer.session_key_id)
        self.net, joined = self.ns.join_accepted(self.net, accepted, lorajs.NetworkKeys(*keys))
        assert not joined.repeat
        self.session_key_id = answer.session_key_id
        return self.step(lorajs.Downlink(answer.phy, self.now))

    def fetch_app_s_key(self) -> lorajs.Key:
        request = lorajs.Message.app_s_key_req("as.example", JOIN_EUI, DEV_EUI, self.session_key_id, transaction_id=7)
        answer = request.read_answer(self.server.handle(request.build(), peer="as"))
        assert answer.app_s
        return answer.app_s.open()


@pytest.mark.parametrize("element", [lorajs.SecureElement, SoftElement])
@pytest.mark.parametrize("mac", [lorajs.Mac.V1_0_3, lorajs.Mac.V1_0_4, lorajs.Mac.V1_1], ids=str)
def test_a_join_and_data_both_ways(mac: lorajs.Mac, element: type) -> None:
    w = World(mac, element)
    out = w.step(lorajs.Start(w.now, int.from_bytes(os.urandom(4), "big")))
    assert out.sends is Sends.JOIN and out.persist and out.state is EndDeviceState.JOINING
    out = w.join(out)
    assert out.joined and out.accept and out.accept.dev_addr == DEV_ADDR and str(out.accept.net_id) == "000013"
    assert lorajs.NetworkSession.read(w.net).state is NetworkState.PENDING

    out = w.step(lorajs.Send(w.now + 1, b"hello", fport=5, confirmed=True, tx_dr=3, tx_ch=1))
    assert out.sends is Sends.DATA and out.fcnt == 0
    w.net, up = w.ns.uplink(w.net, out.frame, now=w.now + 1, tx_dr=3, tx_ch=1)
    assert (up.fport, up.confirmed, up.switched, up.fcnt) == (5, True, True, 0) and Due.ACK in up.due
    assert up.rekey == (mac >= lorajs.Mac.V1_1) and up.session_key_id == w.session_key_id
    app_s = w.fetch_app_s_key()
    said = lorajs.data_crypt(up.payload, app_s, direction=lorajs.Direction.UP, dev_addr=DEV_ADDR, fcnt=up.fcnt)
    assert said == b"hello"

    session = lorajs.NetworkSession.read(w.net)
    assert session.current and session.opts.dev_eui == DEV_EUI
    fcnt = session.current.a_fcnt_down
    payload = lorajs.data_crypt(b"world", app_s, direction=lorajs.Direction.DOWN, dev_addr=DEV_ADDR, fcnt=fcnt)
    w.net, down = w.ns.downlink(w.net, now=w.now + 2, fport=9, fcnt=fcnt, payload=payload)
    assert Due.ACK in down.sent
    out = w.step(lorajs.Downlink(down.phy, w.now + 2))
    assert out.heard and (out.heard.fport, out.heard.payload, out.heard.acked) == (9, b"world", True)
    assert out.rekeyed == (mac >= lorajs.Mac.V1_1)
    assert lorajs.EndDeviceSession.read(w.dev).state is EndDeviceState.JOINED

    with pytest.raises(lorajs.Refused) as again:
        w.step(lorajs.Downlink(down.phy, w.now + 3))
    assert again.value.name == "REPLAY"
    w.dev, out = w.device.step(w.dev, lorajs.Restart(0))
    assert out.sends is Sends.NOTHING
    w.device.load(w.dev)


@pytest.mark.parametrize("mac", [lorajs.Mac.V1_0_4, lorajs.Mac.V1_1], ids=str)
def test_a_confirmed_uplink_goes_again_until_its_ack_is_heard(mac: lorajs.Mac) -> None:
    w = World(mac, lorajs.SecureElement)
    w.join(w.step(lorajs.Start(w.now)))
    first = w.step(lorajs.Send(w.now, b"hello", fport=5, confirmed=True, tx_dr=3, tx_ch=1)).frame
    w.net, up = w.ns.uplink(w.net, first, now=w.now, tx_dr=3, tx_ch=1)
    assert (up.again, up.fport, len(up.payload)) == (0, 5, 5)
    w.net, _ = w.ns.downlink(w.net, now=w.now)  # the ACK, which is lost
    with pytest.raises(lorajs.Fault) as other:
        w.step(lorajs.SendAgain(bytes(len(first)), w.now))
    assert other.value.name == "STATE"
    for times in 1, 2:
        out = w.step(lorajs.SendAgain(first, w.now, tx_dr=0, tx_ch=1 + times))
        assert (out.sends, out.fcnt, out.frame[:-4]) == (Sends.DATA, 0, first[:-4])
        assert (out.frame != first) == (mac >= lorajs.Mac.V1_1)
        assert lorajs.EndDeviceSession.read(w.dev).again_left == 14 - times
        w.net, up = w.ns.uplink(w.net, out.frame, now=w.now, tx_dr=0, tx_ch=1 + times)
        assert (up.again, up.confirmed, up.fport, up.payload, up.mac) == (times, True, None, b"", b"")
        assert Due.ACK in up.due and (Due.REKEY_CONF in up.due) == (mac >= lorajs.Mac.V1_1)
        w.net, down = w.ns.downlink(w.net, now=w.now)
    out = w.step(lorajs.Downlink(down.phy, w.now))
    assert out.heard and out.heard.acked and lorajs.EndDeviceSession.read(w.dev).again_left == 0
    with pytest.raises(lorajs.Fault) as answered:
        w.step(lorajs.SendAgain(first, w.now))
    assert answered.value.name == "STATE"


@pytest.mark.parametrize("rejoin_type", [0, 2])
def test_a_forced_rejoin(rejoin_type: int) -> None:
    w = World(lorajs.Mac.V1_1, lorajs.SecureElement)
    w.join(w.step(lorajs.Start(w.now)))
    w.net, _ = w.ns.uplink(w.net, w.step(lorajs.Send(w.now)).frame, now=w.now)
    w.net = w.ns.force_rejoin(w.net, rejoin_type=rejoin_type, tries=3)
    w.net = w.ns.rejoin_params(w.net, 15, 15)
    w.net, down = w.ns.downlink(w.net, now=w.now)
    assert Due.FORCE_REJOIN in down.sent and Due.REKEY_CONF in down.sent
    out = w.step(lorajs.Downlink(down.phy, w.now))
    assert out.forced and out.rekeyed and out.heard
    names = [command.name for command in lorajs.MacCommand.each(out.heard.mac, lorajs.Direction.DOWN)]
    assert names == ["RekeyConf", "ForceRejoinReq", "RejoinParamSetupReq"]
    w.net, woken = w.ns.timer(w.net, now=w.now + 1)
    assert woken.wake_at is not None and not woken.spent
    w.now += 64_000
    out = w.step(lorajs.Tick(w.now))
    assert out.sends is (Sends.REJOIN0, None, Sends.REJOIN2)[rejoin_type] and out.forced
    before = w.session_key_id
    out = w.join(out)
    assert out.rejoined and w.session_key_id != before
    w.net, up = w.ns.uplink(w.net, w.step(lorajs.Send(w.now)).frame, now=w.now)
    assert up.switched and up.rekey
    records = lorajs.sessions(w.server.record(DEV_EUI))
    assert [s.kind.name for s in records] == [f"REJOIN{rejoin_type}", "JOIN"]
    assert w.server.count(MessageType.REJOIN_REQ) == 1


def test_what_is_refused_leaves_the_state() -> None:
    w = World(lorajs.Mac.V1_1, lorajs.SecureElement)
    for call in (
        lambda: w.ns.uplink(w.net, bytes(12), now=0), lambda: w.ns.downlink(w.net, now=0),
        lambda: w.ns.rejoin(w.net, bytes(19), now=0), lambda: w.ns.force_rejoin(w.net),
        lambda: w.ns.timer(w.net[:-1], now=0), lambda: w.ns.timer(b"", now=0),
        lambda: w.device.step(w.dev, lorajs.Downlink(bytes(17), 0)), lambda: w.device.step(b"", lorajs.Tick(0)),
        lambda: w.ns.new(lorajs.NetworkOptions(DEV_EUI, NET_ID, minor=16)),
        lambda: w.device.new(lorajs.EndDeviceOptions(JOIN_EUI, DEV_EUI, airtime=0)),
    ):
        with pytest.raises(lorajs.Error):
            call()


def test_the_element_is_closed_with_its_device() -> None:
    mine = SoftElement(lorajs.Key.generate(), None)
    device = lorajs.EndDevice(mine)
    device.step(device.new(lorajs.EndDeviceOptions(JOIN_EUI, DEV_EUI, lorajs.Mac.V1_0_4)), lorajs.Start(0))
    del device
    assert mine.closed


def test_an_element_has_every_key_that_c_knows() -> None:
    assert len(lorajs.ElementKey) == lorajs.native.LJS_SE_KEYS
