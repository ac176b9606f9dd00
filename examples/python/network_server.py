"""A network server in miniature: what yours does around lorajs.NetworkSide, from a device's first join
over data both ways to a rejoin, with the keys changed under way.

    python3 network_server.py

Whom it talks to is in this program too, so that it runs alone: a simulated device (lorajs.testing)
instead of the radio, a lorajs.JoinServer instead of an HTTP client, and the application server, which
alone has AppSKey.  Time is made up."""

from __future__ import annotations

import lorajs
from lorajs.testing import Clock, SimulatedDevice, Uplink

NET_ID = lorajs.NetID("000013")
DEV_EUI, JOIN_EUI = lorajs.EUI("0202030405060708"), lorajs.EUI("0200000000000001")
PORT = 10

clock = Clock()


def say(who: str, text: str) -> None:
    print(f"{clock.now / 1000:9.1f} s  {who:11} {text}")


class ApplicationServer:
    """Has the keys of payloads, and nothing else of a session."""

    def __init__(self, kek: lorajs.Key) -> None:
        self.kek = kek  # shared with the Join Server
        self.keys: dict[bytes, lorajs.Key] = {}  # by SessionKeyID; yours forgets those that are no more in use
        self.to_say = b""

    def session(self, session_key_id: bytes, app_s: lorajs.Envelope) -> None:
        self.keys[session_key_id] = app_s.open(self.kek)

    def hear(self, up: lorajs.Up) -> None:
        text = lorajs.data_crypt(up.payload, self.keys[up.session_key_id], direction=lorajs.Direction.UP,
                                 dev_addr=up.dev_addr, fcnt=up.fcnt)
        say("application", f'port {up.fport}: "{text.decode()}"')

    def payload(self, context: lorajs.NetworkContext) -> bytes:
        """What it has to say, under the counter that the network server names."""
        said, self.to_say = self.to_say, b""
        return lorajs.data_crypt(said, self.keys[context.session_key_id], direction=lorajs.Direction.DOWN,
                                 dev_addr=context.dev_addr, fcnt=context.a_fcnt_down)


class NetworkServer:
    def __init__(self, join_server: lorajs.JoinServer, kek: lorajs.Key, application: ApplicationServer) -> None:
        self.join_server, self.kek, self.application = join_server, kek, application
        self.side = lorajs.NetworkSide(lorajs.Vault.generate())  # seals session keys inside states
        # Yours is a table in a database: what a step returns is written there before anything it says is done.
        self.states: dict[lorajs.EUI, bytes] = {}
        self.requests = 0

    def hear(self, uplink: Uplink) -> bytes | None:
        """One frame that a gateway has heard; what is to be sent in its receive windows, if anything.

        Gateways hear one frame several times: yours takes the copies together before."""
        try:
            frame = lorajs.Frame.parse(uplink.phy)
        except lorajs.FrameError:
            return self.hear_data(uplink)
        return self.hear_request(frame, uplink.phy)

    # Join-requests go to the Join Server as they are, rejoin-requests when rejoin() lets them through.

    def hear_request(self, frame: lorajs.Frame, phy: bytes) -> bytes:
        state = self.states.get(frame.dev_eui)
        if state is None:
            state = self.side.new(lorajs.NetworkOptions(frame.dev_eui, NET_ID))
        if frame.kind != lorajs.FrameKind.JOIN:
            state, _ = self.side.rejoin(state, phy, now=clock.now)
            self.states[frame.dev_eui] = state
        request, answer = self.ask_join_server(frame, phy)
        self.application.session(answer.session_key_id, answer.app_s)
        keys = lorajs.NetworkKeys(*(envelope.open(self.kek) for envelope in
                                    (answer.f_nwk_s_int, answer.s_nwk_s_int, answer.nwk_s_enc)))
        accepted = lorajs.Accepted(clock.now, frame.kind, lorajs.Scheme.V1_1, lorajs.Mac.V1_1, frame.nonce,
                                   request.dev_addr, answer.session_key_id)
        self.states[frame.dev_eui], joined = self.side.join_accepted(state, accepted, keys)
        say("network", f"{answer.type}, DevAddr {request.dev_addr}: {joined.state.name}")
        return answer.phy

    def ask_join_server(self, frame: lorajs.Frame, phy: bytes) -> tuple[lorajs.Message, lorajs.Message]:
        self.requests += 1
        make = lorajs.Message.join_req if frame.kind == lorajs.FrameKind.JOIN else lorajs.Message.rejoin_req
        # The highest version that the device and we have in common, and a new DevAddr for each context.
        request = make(NET_ID, JOIN_EUI, frame.dev_eui, phy, mac=lorajs.Mac.V1_1, dev_addr=0x26011234 + self.requests,
                       dl_settings=lorajs.DLSettings(opt_neg=True).build(), transaction_id=self.requests)
        # Yours is an HTTP POST with a client certificate.
        return request, request.read_answer(
            self.join_server.handle(request.build(), peer="network", now=clock.now // 1000))

    def hear_data(self, uplink: Uplink) -> bytes | None:
        # Yours finds the states of a DevAddr; there may be several, and the MIC decides.
        state, up = self.side.uplink(self.states[DEV_EUI], uplink.phy, now=clock.now, tx_dr=uplink.data_rate,
                                     tx_ch=uplink.channel)
        self.states[DEV_EUI] = state
        say("network", f"uplink {up.fcnt} of {up.dev_addr}{' again' if up.again else ''}{', RekeyInd' if up.rekey else ''}"
                       f"{', the keys are new' if up.switched else ''}: {up.state.name}")
        if up.fport:  # once: a frame that comes again has no port
            self.application.hear(up)
        return self.send_down() if up.due or self.application.to_say else None

    def send_down(self) -> bytes:
        """What is due, and what the application has to say."""
        state = self.states[DEV_EUI]
        context = lorajs.NetworkSession.read(state).current
        more = {}
        if self.application.to_say and context:
            more = {"fport": PORT, "fcnt": context.a_fcnt_down, "payload": self.application.payload(context)}
        self.states[DEV_EUI], down = self.side.downlink(state, now=clock.now, **more)
        sent = "".join(f", {due.name}" for due in lorajs.Due if due and due in down.sent)
        say("network", f"downlink {down.fcnt}{sent}{', payload' if more else ''}")
        return down.phy

    def rekey(self) -> None:
        """The operator wishes that the device rejoin, by type 2: new keys, and the radio stays as it is."""
        self.states[DEV_EUI] = self.side.force_rejoin(self.states[DEV_EUI], rejoin_type=2)
        say("network", "the device is to rejoin")


def tell(outputs: list[lorajs.EndDeviceOutput]) -> None:
    """What the device makes of what it hears."""
    for out in outputs:
        for happened in "joined", "rejoined", "rekeyed":
            if getattr(out, happened):
                say("device", f"{happened}: {out.state.name}")
        if out.heard and out.heard.fport:
            say("device", f'port {out.heard.fport}: "{out.heard.payload.decode()}"')


def main() -> None:
    ns_kek, as_kek = lorajs.Key.generate(), lorajs.Key.generate()
    device = SimulatedDevice(DEV_EUI, JOIN_EUI, lorajs.Mac.V1_1, clock=clock)
    with lorajs.JoinServer(lorajs.Vault.generate(), lorajs.Store.memory()) as join_server:
        join_server.put_kek("network-kek", ns_kek)
        join_server.put_kek("application-kek", as_kek)
        join_server.set_peers([lorajs.Peer("network", net_ids=(NET_ID,), keks=("network-kek",))])
        device.provision(join_server, as_kek_label="application-kek")
        application = ApplicationServer(as_kek)
        network = NetworkServer(join_server, ns_kek, application)

        device.join(network.hear)
        say("device", f"has joined as {device.dev_addr}")
        tell(device.say(network.hear, b"good morning", port=PORT))
        network.rekey()
        tell(device.say(network.hear, b"21.5 degrees", port=PORT))
        tell(device.wait(network.hear))  # it was told, and rejoins when it is time to
        application.to_say = b"well heard"
        tell(device.say(network.hear, b"under new keys", port=PORT))


if __name__ == "__main__":
    main()
