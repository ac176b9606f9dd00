"""Laws that hold for whatever comes, as the fuzz targets state them for C (fuzz/): of every parser, and of every
step.  Each draws octets at random, and good ones with a few changed."""

from __future__ import annotations

import dataclasses
import io
import json
import re
from typing import Any

import hypothesis.strategies as st
from hypothesis import HealthCheck, assume, example, given, settings

import lorajs
from lorajs import Act, Clear, Code, Direction, FrameKind, Mac, OctetOrder, Scheme

settings.register_profile("laws", max_examples=60, deadline=None, database=None,
                          suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
settings.load_profile("laws")

U8, U16, U24, U32, U64 = (st.integers(0, (1 << bits) - 1) for bits in (8, 16, 24, 32, 64))
DEV_EUI, JOIN_EUI = lorajs.EUI("0102030405060708"), lorajs.EUI("70b3d57ed0000000")
VAULT, NWK, APP = lorajs.Vault.generate(), lorajs.Key.generate(), lorajs.Key.generate()
JS_INT = lorajs.derive(lorajs.KeyName.JS_INT, NWK, dev_eui=DEV_EUI)


def near(good: bytes) -> st.SearchStrategy[bytes]:
    """Good octets with a few changed, cut short or drawn out."""

    @st.composite
    def changed(draw: Any) -> bytes:
        octets = bytearray(good)
        for _ in range(draw(st.integers(0, 3))):
            if octets:
                octets[draw(st.integers(0, len(octets) - 1))] = draw(U8)
        at = draw(st.integers(0, len(octets)))
        if draw(st.integers(0, 9)) == 0:
            return bytes(octets[:at])
        return bytes(octets) + draw(st.one_of(st.just(b""), st.just(b""), st.binary(max_size=5)))

    return changed()


def refused_as(call: Any, *errors: type[BaseException]) -> Any:
    """The result, or None when it was refused in one of these ways; anything else is a fault."""
    try:
        return call()
    except errors:
        return None


# ---- identifiers ---------------------------------------------------------------


@given(U64, U32, U24)
def test_identifiers_print_what_they_read(eui: int, dev_addr: int, net_id: int) -> None:
    for kind, number, digits in ((lorajs.EUI, eui, 16), (lorajs.DevAddr, dev_addr, 8), (lorajs.NetID, net_id, 6)):
        made = kind(number)
        assert made == number and len(str(made)) == digits and str(made) == f"{number:0{digits}x}" == f"{made}"
        assert kind(str(made)) == kind(str(made).upper()) == kind(f"0x{made}") == made
        assert eval(repr(made), {kind.__name__: kind}) == made and isinstance(kind(made), kind)
        assert f"{made:d}" == str(int(made)) and f"{made:>20}" == str(made).rjust(20)


@given(st.text(max_size=20))
@example("0x")
@example("70b3d57ed000000g")
@example("٠١٢٣٤٥")
def test_no_other_text_is_an_identifier(text: str) -> None:
    for kind, digits in ((lorajs.EUI, 16), (lorajs.DevAddr, 8), (lorajs.NetID, 6)):
        good = re.fullmatch(rf"(0[xX])?[0-9a-fA-F]{{{digits}}}", text, re.ASCII)
        made = refused_as(lambda: kind(text), ValueError)
        assert (made is not None) == bool(good)


# ---- air ------------------------------------------------------------------------

JOIN = lorajs.Frame(FrameKind.JOIN, DEV_EUI, JOIN_EUI, nonce=7).sign(NWK)
REJOIN1 = lorajs.Frame(FrameKind.REJOIN1, DEV_EUI, JOIN_EUI, nonce=7).sign(NWK)
REJOIN0 = lorajs.Frame(FrameKind.REJOIN0, DEV_EUI, net_id=lorajs.NetID(0x13), nonce=7).sign(NWK)


@given(st.one_of(near(JOIN), near(REJOIN0), near(REJOIN1), st.binary(max_size=40)))
def test_a_frame_that_parses_builds_the_same(phy: bytes) -> None:
    frame = refused_as(lambda: lorajs.Frame.parse(phy), lorajs.FrameError)
    if frame:
        assert frame.build() == phy and lorajs.Frame.parse(phy) == frame
        assert len(phy) == {FrameKind.JOIN: 23, FrameKind.REJOIN1: 24}.get(frame.kind, 19)
        assert frame.mic == phy[-4:] and frame.nonce == int.from_bytes(phy[-6:-4], "little")
        good = frame.sign(NWK) == phy
        assert (refused_as(lambda: frame.verify(NWK) or True, lorajs.Refused) is not None) == good
    elif len(phy) not in (19, 23, 24):
        assert Code.SIZE == error_of(lambda: lorajs.Frame.parse(phy)).code


def error_of(call: Any) -> lorajs.Error:
    try:
        call()
    except lorajs.Error as error:
        return error
    raise AssertionError("nothing was raised")


@given(st.sampled_from(FrameKind), U64, U64, U32, st.integers(0, 1 << 17), st.binary(min_size=4, max_size=4))
def test_a_frame_that_builds_parses_the_same(kind: FrameKind, dev_eui: int, join_eui: int, net_id: int, nonce: int,
                                             mic: bytes) -> None:
    def made() -> lorajs.Frame:
        return lorajs.Frame(kind, lorajs.EUI(dev_eui), lorajs.EUI(join_eui), lorajs.NetID(net_id), nonce, mic)

    frame = refused_as(made, OverflowError)
    octets = frame and refused_as(frame.build, lorajs.InvalidError, OverflowError)
    carries = kind in (FrameKind.JOIN, FrameKind.REJOIN1)
    assert (octets is not None) == (net_id <= 0xFFFFFF and nonce <= 0xFFFF and not (net_id if carries else join_eui))
    if octets:
        assert lorajs.Frame.parse(octets) == frame


@given(st.one_of(near(JOIN), near(REJOIN0), near(REJOIN1), st.binary(max_size=40)))
def test_whatever_it_is_it_is_told(phy: bytes) -> None:
    told = lorajs.explain(phy)
    covered = b"".join(field.octets for field in told.fields)
    assert covered == (phy if told.is_frame else phy[:1]) and told.text in str(told)
    if refused_as(lambda: lorajs.Frame.parse(phy), lorajs.FrameError):
        assert told.is_frame


ACCEPT = lorajs.JoinAccept(7, lorajs.NetID(0x13), lorajs.DevAddr(0x26011234), 0x80, 1, bytes(range(15)) + b"\0")


@given(st.one_of(near(ACCEPT.build()), near(ACCEPT.build()[:13]), st.binary(max_size=40)))
def test_an_accept_that_parses_builds_the_same(clear: bytes) -> None:
    accept = refused_as(lambda: lorajs.JoinAccept.parse(clear), lorajs.FrameError)
    if accept:
        assert accept.build() == clear and len(clear) == (29 if accept.cf_list is not None else 13)
        of = lorajs.AcceptOf(FrameKind.JOIN, Scheme.V1_1, JOIN_EUI, 9)
        phy = accept.seal(of, JS_INT, NWK)
        assert lorajs.JoinAccept.open(phy, of, JS_INT, NWK) == accept
        for other in (dataclasses.replace(of, nonce=10), dataclasses.replace(of, kind=FrameKind.REJOIN0),
                      lorajs.AcceptOf()):
            assert error_of(lambda: lorajs.JoinAccept.open(phy, other, JS_INT, NWK)).code == Code.MIC


@given(near(ACCEPT.seal(lorajs.AcceptOf(), NWK)))
def test_nothing_forged_opens(phy: bytes) -> None:
    assume(phy != ACCEPT.seal(lorajs.AcceptOf(), NWK))
    assert refused_as(lambda: lorajs.JoinAccept.open(phy, lorajs.AcceptOf(), NWK), lorajs.Refused) is None


@given(st.one_of(st.binary(min_size=15, max_size=17), st.binary(min_size=15, max_size=15).map(lambda b: b + b"\0"),
                 st.binary(min_size=12, max_size=12).map(lambda b: b + b"\0\0\0\1")))
def test_a_cf_list_that_parses_builds_the_same(octets: bytes) -> None:
    cf_list = refused_as(lambda: lorajs.CFList.parse(octets), lorajs.FrameError)
    if cf_list:
        assert cf_list.build() == octets and cf_list.type in (0, 1)


@given(U8)
def test_dl_settings_build_the_same(octet: int) -> None:
    assert lorajs.DLSettings.parse(octet).build() == octet


@given(st.integers(0, 2), st.integers(0, 9), st.integers(0, 20))
def test_dl_settings_have_their_ranges(opt_neg: int, offset: int, rate: int) -> None:
    octet = refused_as(lambda: lorajs.DLSettings(opt_neg, offset, rate).build(), lorajs.InvalidError)  # type: ignore[arg-type]
    assert (octet is not None) == (opt_neg <= 1 and offset <= 7 and rate <= 15)


DATA = lorajs.DataFrame(Direction.UP, lorajs.DevAddr(0x26011234), 7, True, True, fopts=b"\x0b\1", fport=3,
                        frm_payload=b"hello").build()


@given(st.one_of(near(DATA), st.binary(max_size=260)))
def test_a_data_frame_that_parses_builds_the_same(phy: bytes) -> None:
    frame = refused_as(lambda: lorajs.DataFrame.parse(phy), lorajs.FrameError)
    if frame:
        assert frame.build() == phy and frame.mic == phy[-4:]
        assert len(phy) == 12 + len(frame.fopts) + (frame.fport is not None) + len(frame.frm_payload)
        assert not (frame.fopts and frame.fport == 0)


@given(st.sampled_from(Direction), U32, st.integers(0, 70000), st.booleans(), st.booleans(), st.booleans(),
       st.booleans(), st.booleans(), st.binary(max_size=17), st.one_of(st.none(), st.integers(0, 256)), st.binary(max_size=245))
def test_a_data_frame_that_builds_parses_the_same(direction: Direction, dev_addr: int, fcnt: int, confirmed: bool,
                                                  adr: bool, adr_ack_req: bool, ack: bool, pending: bool, fopts: bytes,
                                                  fport: int | None, payload: bytes) -> None:
    frame = lorajs.DataFrame(direction, lorajs.DevAddr(dev_addr), fcnt, confirmed, adr, adr_ack_req, ack, pending,
                             fopts, fport, payload)
    phy = refused_as(frame.build, lorajs.InvalidError, OverflowError, ValueError)
    if phy:
        assert lorajs.DataFrame.parse(phy) == frame
        of = lorajs.DataOf(Scheme.V1_1, fcnt, 3, 2, 1)
        signed = lorajs.DataFrame.parse(frame.sign(of, NWK, APP))
        assert dataclasses.replace(signed, mic=frame.mic) == frame
        assert lorajs.data_mic(signed.build(), of, NWK, APP) == signed.mic


@given(st.binary(max_size=250), st.sampled_from(Direction), U32, U32)
def test_crypt_is_its_own_inverse(octets: bytes, direction: Direction, dev_addr: int, fcnt: int) -> None:
    def crypt(what: bytes) -> bytes:
        return lorajs.data_crypt(what, APP, direction=direction, dev_addr=dev_addr, fcnt=fcnt)

    once = refused_as(lambda: crypt(octets), lorajs.InvalidError)
    assert (once is None) == (len(octets) > 242)
    if once is not None:
        assert len(once) == len(octets) and crypt(once) == octets


@given(st.one_of(st.binary(max_size=30), near(bytes.fromhex("0b010d0e2d3f0f4203"))), st.sampled_from(Direction),
       st.sampled_from(OctetOrder))
def test_commands_are_read_without_a_gap(stream: bytes, direction: Direction, order: OctetOrder) -> None:
    commands, ended = [], False
    try:
        for command in lorajs.MacCommand.each(stream, direction, order):
            commands.append(command)
        ended = True
    except lorajs.FrameError:
        pass
    read = b"".join(bytes([c.cid]) + c.payload for c in commands)
    assert stream.startswith(read) and ended == (len(read) == len(stream))
    for command in commands:
        assert command.name != "?"
        built = refused_as(lambda: command.build(order), lorajs.InvalidError)
        if built is None:
            assert command.cid == 0x0E and command.rejoin_type > 2
            continue
        [again] = lorajs.MacCommand.each(built, direction, order)
        assert dataclasses.replace(again, payload=command.payload) == command and len(built) == 1 + len(command.payload)


# ---- keys ------------------------------------------------------------------------


@given(st.binary(max_size=40))
def test_keys_have_their_lengths(octets: bytes) -> None:
    given = bytearray(octets)
    key = refused_as(lambda: lorajs.Key.from_bytes(given), lorajs.InvalidError)
    assert (key is not None) == (len(octets) in (16, 24, 32)) and given == bytes(len(octets))
    if key:
        assert key.export() == octets and len(key) == len(octets)


@given(st.binary(max_size=72), st.sampled_from([16, 24, 32]))
def test_wrapping_has_an_inverse(octets: bytes, length: int) -> None:
    kek = lorajs.Key.generate(length)
    wrapped = refused_as(lambda: kek.wrap(octets), lorajs.InvalidError)
    assert (wrapped is not None) == (16 <= len(octets) <= 64 and len(octets) % 8 == 0)
    if wrapped:
        assert kek.unwrap(wrapped) == octets and len(wrapped) == len(octets) + 8
        flipped = wrapped[:-1] + bytes([wrapped[-1] ^ 1])
        assert error_of(lambda: kek.unwrap(flipped)).code == Code.SEAL
        assert error_of(lambda: lorajs.Key.generate(length).unwrap(wrapped)).code == Code.SEAL


@given(st.text(max_size=140), st.booleans())
def test_envelopes_open_for_their_kek_alone(label: str, wrapped: bool) -> None:
    kek = lorajs.Key.generate() if wrapped else None
    envelope = refused_as(lambda: lorajs.Envelope.seal(NWK, kek, label), ValueError, UnicodeEncodeError)
    if envelope:
        assert envelope.kek_label == label and (not label or wrapped)
        assert envelope.open(kek).export() == NWK.export()
        assert refused_as(lambda: envelope.open(None if wrapped else NWK), lorajs.Fault) is None
    else:
        assert bool(label) != wrapped or len(label.encode("utf-8", "replace")) > 127 or not label.isprintable()


# ---- messages ---------------------------------------------------------------------

REQUEST = lorajs.Message.join_req(0x13, JOIN_EUI, DEV_EUI, JOIN, mac=Mac.V1_0_4, dev_addr=1, transaction_id=7).build()


@st.composite
def messages(draw: Any) -> bytes:
    """A good one, with a member or two taken out, or another in its place."""
    message = json.loads(REQUEST)
    odd = st.one_of(st.none(), st.booleans(), U64, st.text(max_size=8), st.just([]), st.just({}), st.sampled_from(
        ["JoinAns", "RejoinReq", "AppSKeyReq", "HomeNSReq", "HomeNSAns", "1.1", "1.0.4", "0" * 6, "0" * 8, "0" * 16,
         "0" * 32]))
    for _ in range(draw(st.integers(0, 3))):
        name = draw(st.sampled_from(
            [*message, "CFList", "SenderToken", "SenderNSID", "Result", "SessionKeyID", "Lifetime"]))
        if draw(st.booleans()):
            message.pop(name, None)
        else:
            message[name] = draw(odd)
    return json.dumps(message).encode()


@given(st.one_of(messages(), near(REQUEST), st.binary(max_size=60)))
def test_messages(octets: bytes) -> None:
    message = refused_as(lambda: lorajs.Message.parse(octets), lorajs.MessageError)
    if message is None:
        return
    reply = message.reply(Code.DEVICE)
    assert (reply.sender_id, reply.receiver_id) == (message.receiver_id, message.sender_id)
    assert not any((reply.nwk_s, reply.f_nwk_s_int, reply.s_nwk_s_int, reply.nwk_s_enc, reply.app_s))
    refusal = lorajs.Message.parse(reply.build())
    assert refusal.result is None or refusal.result != Code.OK
    if message.error is Code.OK:
        built = message.build()
        again = lorajs.Message.parse(built)
        assert again.build() == built
        lifetime = message.lifetime or again.lifetime or None
        same = {"result": None, "lifetime": lifetime}  # a result has two spellings, and 0 seconds may be told
        assert dataclasses.replace(again, **same) == dataclasses.replace(message, **same)
        if message.type % 2:
            error = error_of(lambda: message.read_answer(reply.build()))
            assert error.code == Code.DEVICE and isinstance(error, lorajs.Refused) and error.message
            other = dataclasses.replace(message, transaction_id=(message.transaction_id or 0) ^ 1)
            assert error_of(lambda: other.read_answer(reply.build())).code == Code.MESSAGE


LINES = lorajs.DeviceLine.example().splitlines()


@st.composite
def lines(draw: Any) -> bytes:
    line = json.loads(draw(st.sampled_from(LINES)))
    for _ in range(draw(st.integers(0, 2))):
        name = draw(st.sampled_from([*line, "nwk_key", "home_net_id", "next_join_nonce", "used_dev_nonces", "colour"]))
        line[name] = draw(st.one_of(st.none(), U64, st.booleans(), st.text(max_size=33), st.just("0" * 32),
                                    st.just([1, 2])))
    return json.dumps(line).encode()


@given(st.one_of(lines(), st.binary(max_size=60), near(LINES[0].encode())))
def test_device_lines(octets: bytes) -> None:
    try:
        line = lorajs.DeviceLine(octets)
    except lorajs.InvalidError as error:
        assert 0 < len(str(error)) < 128 and str(error).isprintable() and not re.search("[0-9a-fA-F]{9}", str(error))
        return
    device = line.device
    assert 1 <= device.join_euis == len(line.join_euis) <= 4 and line.join_euis[0] == device.join_eui
    assert -1 <= line.last_dev_nonce <= 0xFFFF and (device.mac >= Mac.V1_0_4 or line.last_dev_nonce == -1)
    assert not line.used_dev_nonces or device.mac < Mac.V1_0_4
    record = line.make(VAULT, allow_weak=True)
    made = lorajs.Device.read(record)
    shown = json.loads(lorajs.device_json(record))
    assert made.dev_eui == device.dev_eui == lorajs.EUI(shown["dev_eui"])
    assert [n.join_eui for n in lorajs.join_euis(record)] == list(line.join_euis)
    lorajs.check_record(record, VAULT)


QR_TEXT = "LW:D0:1122334455667788:AABBCCDDEEFF0011:AABB1122:OAABBCCDDEEFF:SYYWWNNNNNN:PFOOBAR:CAF2C"


@given(st.one_of(near(QR_TEXT.encode()), near(b"URN:DEV:LW:1122334455667788_AABBCCDDEEFF0011_AABB1122_VAABB_SX_PFOO")))
@example(QR_TEXT.encode())
def test_qr_texts(octets: bytes) -> None:
    text = octets.decode("latin-1")
    strict = refused_as(lambda: lorajs.QR.parse(text), lorajs.InvalidError)
    lenient = refused_as(lambda: lorajs.QR.parse(text, lenient=True), lorajs.InvalidError)
    assert (lenient is not None and lenient.strict) == (strict is not None)
    if strict is None:
        return
    assert strict == lenient
    again = lorajs.QR.parse(strict.build())
    assert again.checksum is True
    assert dataclasses.replace(again, form=strict.form, checksum=strict.checksum) == strict


# ---- what is sealed -------------------------------------------------------------

SENDER, RECIPIENT, PASSPHRASE = lorajs.Key.generate(32), lorajs.Key.generate(32), b"correct horse battery"
SEALED = lorajs.seal_master(lorajs.Key.generate(32), PASSPHRASE, memory=8192, passes=1)


def parcel_of(devices: int) -> bytes:
    file = io.BytesIO()
    lorajs.pack(file, [lorajs.make_device(VAULT, lorajs.Device(lorajs.EUI(n), JOIN_EUI, Mac.V1_0_4), app_key=APP)
                       for n in range(1, devices + 1)], VAULT, to=RECIPIENT.x25519_public(), sign=SENDER, now=7)
    return file.getvalue()


PARCEL = parcel_of(2)


@given(st.one_of(near(PARCEL), near(PARCEL[: len(PARCEL) // 2]), st.binary(max_size=200)))
@example(PARCEL)
def test_no_parcel_but_the_very_one_is_taken(octets: bytes) -> None:
    parcel = refused_as(lambda: lorajs.Parcel(io.BytesIO(octets), RECIPIENT, SENDER.ed25519_public()), lorajs.Error)
    assert (parcel is not None) == (octets == PARCEL)
    if parcel:
        assert [device.dev_eui for device in parcel] == [1, 2] and parcel.packed_at == 7


@given(st.one_of(near(SEALED), st.binary(max_size=200)))
@example(SEALED)
@example(SEALED[:4] + bytes([SEALED[4] + 1]))
def test_no_master_key_but_the_very_one_opens(octets: bytes) -> None:
    try:
        key = refused_as(lambda: lorajs.open_master(octets, PASSPHRASE), lorajs.InvalidError, lorajs.SealError)
    except lorajs.Fault as fault:  # of a newer lorajs
        key = None
        assert fault.code == Code.VERSION and octets[:4] == SEALED[:4] and octets[4] > SEALED[4]
    assert (key is not None) == (octets == SEALED)


# ---- records and joining ------------------------------------------------------------

RECORD = lorajs.make_device(VAULT, lorajs.Device(DEV_EUI, JOIN_EUI, Mac.V1_1), nwk_key=NWK, app_key=APP)


@given(st.one_of(near(RECORD), st.binary(max_size=100)))
def test_no_record_but_ours_is_believed(record: bytes) -> None:
    assume(record != RECORD)
    for call in (lambda: lorajs.check_record(record, VAULT), lambda: lorajs.step_device(record, Act.BLOCK, VAULT),
                 lambda: lorajs.add_join_eui(record, 1, VAULT),
                 lambda: lorajs.app_s_key(record, bytes(16), VAULT, as_id="a")):
        assert error_of(call).code in (Code.SEAL, Code.VERSION)
    for read in (lorajs.Device.read, lorajs.sessions, lorajs.join_euis, lorajs.device_json):
        refused_as(lambda: read(record), lorajs.Fault)


JOINS = st.tuples(st.just("join"), st.integers(0, 6), st.sampled_from([NWK, APP]), st.booleans())
REJOINS = st.tuples(st.just("rejoin"), st.integers(0, 6), st.sampled_from([JS_INT, NWK]), st.booleans())
ACTS = st.tuples(st.just("act"), st.sampled_from([Act.BLOCK, Act.UNBLOCK]), st.none(), st.none())


@given(st.sampled_from([Mac.V1_0_3, Mac.V1_0_4, Mac.V1_1]), st.lists(st.one_of(JOINS, REJOINS, ACTS), max_size=25))
@settings(max_examples=30)
def test_the_life_of_a_device(mac: Mac, events: list[tuple[Any, ...]]) -> None:
    """JoinNonce rises by one with each new session and never else; a nonce accepted is accepted again for the very
    repeat alone; who is refused changes nothing; a forged MIC is never accepted."""
    record = lorajs.make_device(VAULT, lorajs.Device(DEV_EUI, JOIN_EUI, mac), nwk_key=NWK, app_key=APP)
    used: dict[str, set[int]] = {"join": set(), "rejoin": set()}
    newest: tuple[Any, ...] | None = None
    for what, number, key, other in events:
        before = lorajs.Device.read(record)
        if what == "act":
            after = refused_as(lambda: lorajs.step_device(record, number, VAULT), lorajs.Fault)
            assert (after is None) == ((before.state is lorajs.State.BLOCKED) == (number is Act.BLOCK))
            record = after or record
            assert lorajs.Device.read(record).next_join_nonce == before.next_join_nonce
            continue
        kind = FrameKind.JOIN if what == "join" else FrameKind.REJOIN1
        phy = lorajs.Frame(kind, DEV_EUI, JOIN_EUI, nonce=number).sign(key)
        request = lorajs.JoinRequest(phy, 0x13, 1 + other, mac, what == "rejoin",
                                     dl_settings=0x80 if mac is Mac.V1_1 else 0, clear=Clear.NS | Clear.AS)
        result = refused_as(lambda: lorajs.join(record, request, VAULT), lorajs.Refused)
        good_key = key is (NWK if what == "join" else JS_INT)
        if result is None:
            assert lorajs.Device.read(record) == before
            continue
        after, answer = result
        assert good_key and before.state is not lorajs.State.BLOCKED and (mac is Mac.V1_1 or what == "join")
        if answer.repeat:
            assert after is record and newest is not None and newest[:2] == (phy, other) and answer.phy == newest[2].phy
            assert answer.join_nonce == newest[2].join_nonce and lorajs.Device.read(after) == before
            continue
        assert number not in used[what] and answer.join_nonce == before.next_join_nonce
        assert mac < Mac.V1_0_4 or all(number > n for n in used[what])
        assert lorajs.Device.read(after).next_join_nonce == before.next_join_nonce + 1
        assert lorajs.sessions(after)[0].session_key_id == answer.session_key_id
        used[what].add(number)
        newest, record = (phy, other, answer), after


@given(st.lists(st.one_of(messages(), near(REQUEST)), max_size=6))
@settings(max_examples=30)
def test_a_server_answers_whatever_comes(octets: list[bytes]) -> None:
    """One by one and in a batch it is the same, and always JSON."""
    def made() -> lorajs.JoinServer:
        server = lorajs.JoinServer(VAULT, lorajs.Store.memory(), anonymous=True, clear=Clear.NS | Clear.AS)
        server.make_device(lorajs.Device(DEV_EUI, JOIN_EUI, Mac.V1_0_4), app_key=NWK)
        return server

    def told(answer: bytes | Exception) -> object:
        if isinstance(answer, lorajs.MessageError):
            answer = answer.answer
        assert isinstance(answer, bytes)
        return json.loads(answer)["Result"]["ResultCode"]

    one, many = made(), made()
    singly = [told(refused_or(one, message)) for message in octets]
    assert singly == [told(answer) for answer in many.handle_batch([lorajs.Call(message) for message in octets])]


def refused_or(server: lorajs.JoinServer, message: bytes) -> bytes | Exception:
    try:
        return server.handle(message)
    except lorajs.MessageError as error:
        return error


# ---- sessions -------------------------------------------------------------------------

ED = lorajs.EndDevice(lorajs.SecureElement.software(NWK, APP))
NS = lorajs.NetworkSide(VAULT)
ED_STATE = ED.new(lorajs.EndDeviceOptions(JOIN_EUI, DEV_EUI))
NS_STATE = NS.new(lorajs.NetworkOptions(DEV_EUI, lorajs.NetID(0x13)))


@given(st.one_of(near(NS_STATE), near(ED_STATE), st.binary(max_size=100)))
def test_no_state_but_ours_is_believed(state: bytes) -> None:
    assume(state not in (NS_STATE, ED_STATE))
    for call in (lambda: NS.timer(state, now=0), lambda: ED.step(state, lorajs.Tick(0)), lambda: ED.load(state),
                 lambda: NS.uplink(state, DATA, now=0), lambda: NS.force_rejoin(state)):
        assert error_of(call).code in (Code.SEAL, Code.VERSION)
    refused_as(lambda: lorajs.NetworkSession.read(state), lorajs.Fault)
    refused_as(lambda: lorajs.EndDeviceSession.read(state), lorajs.Fault)


EVENTS = st.one_of(
    st.tuples(st.just("join"), st.booleans()), st.tuples(st.just("send"), st.binary(max_size=20)),
    st.tuples(st.just("again"), st.none()), st.tuples(st.just("down"), st.binary(max_size=20)),
    st.tuples(st.just("noise"), st.binary(max_size=60)), st.tuples(st.just("rejoin"), st.sampled_from([0, 2])),
    st.tuples(st.just("crash"), st.none()), st.tuples(st.just("lose"), st.none()),
    st.tuples(st.just("wait"), st.integers(0, 10**7)),
)


class Pair:
    """A device and its network, with a Join Server between them, and an air that may lose."""

    def __init__(self) -> None:
        self.ed, self.durable, self.net, self.now = ED_STATE, ED_STATE, NS_STATE, 0
        self.record = RECORD
        self.dev_nonces: list[int] = []
        self.uplinks: dict[bytes, set[int]] = {}
        self.last: bytes | None = None

    def device(self, event: lorajs.Event) -> lorajs.EndDeviceOutput | None:
        before = self.ed
        stepped = refused_as(lambda: ED.step(self.ed, event), lorajs.Error)
        if stepped is None:
            assert self.ed is before
            return None
        self.ed, out = stepped
        if out.persist:
            self.durable = self.ed
        return out

    def ask(self, out: lorajs.EndDeviceOutput, heard: bool) -> None:
        frame = lorajs.Frame.parse(out.frame)
        if frame.kind is FrameKind.JOIN:
            assert not self.dev_nonces or frame.nonce > self.dev_nonces[-1]  # a DevNonce is never used twice
            self.dev_nonces.append(frame.nonce)
        else:
            routed = refused_as(lambda: NS.rejoin(self.net, out.frame, now=self.now), lorajs.Error)
            if routed is None:
                return
            self.net = routed[0]
        request = lorajs.JoinRequest(out.frame, 0x13, 1, Mac.V1_1, frame.kind is not FrameKind.JOIN,
                                     dl_settings=0x80, clear=Clear.NS)
        joined = refused_as(lambda: lorajs.join(self.record, request, VAULT), lorajs.Refused)
        if joined is None:
            return
        self.record, answer = joined
        keys = [e.open() for e in (answer.f_nwk_s_int, answer.s_nwk_s_int, answer.nwk_s_enc) if e]
        accepted = lorajs.Accepted(self.now, frame.kind, answer.scheme, Mac.V1_1, frame.nonce, 1, answer.session_key_id)
        taken = refused_as(lambda: NS.join_accepted(self.net, accepted, lorajs.NetworkKeys(*keys)), lorajs.Error)
        if taken:
            self.net = taken[0]
            if heard:
                self.device(lorajs.Downlink(answer.phy, self.now))

    def air(self, frame: bytes) -> None:
        before = self.net
        heard = refused_as(lambda: NS.uplink(self.net, frame, now=self.now), lorajs.Error)
        if heard is None:
            assert self.net is before
            return
        self.net, up = heard
        seen = self.uplinks.setdefault(up.session_key_id, set())
        assert (up.fcnt in seen) == bool(up.again)  # a counter is never accepted twice but for the last frame again
        assert not up.again or (not up.payload and up.fport is None)
        seen.add(up.fcnt)


@given(st.lists(EVENTS, min_size=10, max_size=40))
@settings(max_examples=30)
def test_the_life_of_a_session(events: list[tuple[str, Any]]) -> None:
    """Whatever is lost, repeated, forged or forgotten in a crash: what is refused changes nothing, no DevNonce and
    no counter is used twice, and no frame is accepted twice."""
    pair = Pair()
    for what, about in [("join", True), ("send", b"hello"), *events]:
        pair.now += 10_000
        if what == "join":
            pair.device(lorajs.Stop(pair.now))
            out = pair.device(lorajs.Start(pair.now, 0))
            if out and out.sends is lorajs.Sends.JOIN:
                pair.ask(out, about)
        elif what == "send":
            out = pair.device(lorajs.Send(pair.now, about, fport=1 if about else 0, confirmed=len(about) % 2 == 1))
            if out and out.sends is lorajs.Sends.DATA:
                pair.last = out.frame
                pair.air(out.frame)
        elif what == "again" and pair.last:
            out = pair.device(lorajs.SendAgain(pair.last, pair.now))
            pair.air(out.frame if out else pair.last)
        elif what == "down":
            commands = b"\x0d" + bytes(5) if about else b""
            done = refused_as(lambda: NS.downlink(pair.net, now=pair.now, adr=True, mac=commands), lorajs.Error)
            if done:
                pair.net, down = done
                out = pair.device(lorajs.Downlink(down.phy, pair.now))
                if out and out.heard:
                    assert pair.device(lorajs.Downlink(down.phy, pair.now)) is None  # never twice
        elif what == "noise":
            assert pair.device(lorajs.Downlink(about, pair.now)) is None
            pair.air(about)
        elif what == "rejoin":
            forced = refused_as(lambda: NS.force_rejoin(pair.net, rejoin_type=about), lorajs.Error)
            pair.net = forced or pair.net
        elif what == "crash":
            pair.ed = pair.durable
            pair.device(lorajs.Restart(pair.now))
        elif what == "lose":
            pair.device(lorajs.Lost(pair.now))
        else:
            pair.now += about or 0
            out = pair.device(lorajs.Tick(pair.now, 0))
            if out and out.sends not in (lorajs.Sends.NOTHING, lorajs.Sends.DATA):
                pair.ask(out, True)
    shown = lorajs.NetworkSession.read(pair.net)
    assert shown.opts.dev_eui == lorajs.EndDeviceSession.read(pair.ed).opts.dev_eui == DEV_EUI
