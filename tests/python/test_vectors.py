"""Every known answer, whatever it is of, through the Python package."""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Callable
from typing import Any

import pytest

import lorajs
from lorajs import Clear, Direction, FrameKind, KeyName, Mac, OctetOrder, Scheme, Stream

ROOT = pathlib.Path(__file__).resolve().parents[2]
VECTORS = json.loads((ROOT / "tests/vectors/lorawan-join.json").read_text())
LAB = {"anonymous": True, "clear": Clear.NS | Clear.AS}

Vector = dict[str, Any]
CHECKS: dict[str, Callable[[Vector], None]] = {}


def check(kind: str) -> Callable[[Callable[[Vector], None]], Callable[[Vector], None]]:
    def register(function: Callable[[Vector], None]) -> Callable[[Vector], None]:
        CHECKS[kind] = function
        return function

    return register


def test_no_vector_is_left_out() -> None:
    kinds = {vector["kind"] for vector in VECTORS}
    assert len(VECTORS) == len({vector["id"] for vector in VECTORS}) == 162
    assert kinds == set(CHECKS)


@pytest.mark.parametrize("vector", [v for v in VECTORS if v.get("origin") != "computed"], ids=lambda v: v["id"])
def test_vector(vector: Vector) -> None:
    CHECKS[vector["kind"]](vector)


def octets(given: dict[str, str]) -> bytes:
    return bytes.fromhex(given["hex"])


def number(given: Any) -> int:
    """The octets as a number: the first is the highest when order is msb, the lowest when it is air."""
    if not isinstance(given, dict):
        return int(given)
    return int.from_bytes(octets(given), "big" if given["order"] == "msb" else "little")


def key_of(given: dict[str, str]) -> lorajs.Key:
    return lorajs.Key.from_bytes(bytearray(octets(given)))


def is_key(key: lorajs.Key, want: dict[str, str]) -> None:
    assert key.export() == octets(want)


# ---- keys --------------------------------------------------------------------


@check("aes_block")
def aes_block(v: Vector) -> None:
    key, block = key_of(v["inputs"]["key"]), octets(v["inputs"]["block"])
    assert key.encrypt(block) == octets(v["expected"]["ciphertext"])
    assert key.decrypt(octets(v["expected"]["ciphertext"])) == block
    with pytest.raises(lorajs.InvalidError):
        key.encrypt(block[:15])


@check("aes_cmac")
def aes_cmac(v: Vector) -> None:
    assert key_of(v["inputs"]["key"]).cmac(octets(v["inputs"]["message"])) == octets(v["expected"]["mac"])


@check("key_wrap")
def key_wrap(v: Vector) -> None:
    kek, data = key_of(v["inputs"]["kek"]), octets(v["inputs"]["key"])
    assert kek.wrap(data) == octets(v["expected"]["wrapped"])
    assert kek.unwrap(octets(v["expected"]["wrapped"])) == data


@check("key_wrap_error")
def key_wrap_error(v: Vector) -> None:
    with pytest.raises(lorajs.InvalidError):
        key_of(v["inputs"]["kek"]).wrap(octets(v["inputs"]["key"]))


@check("key_unwrap_error")
def key_unwrap_error(v: Vector) -> None:
    error = lorajs.SealError if v["id"] == "tts-unwrap-wrong-kek" else lorajs.InvalidError
    with pytest.raises(error):
        key_of(v["inputs"]["kek"]).unwrap(octets(v["inputs"]["wrapped"]))


@check("key_envelope")
def key_envelope(v: Vector) -> None:
    kek = key_of(v["inputs"]["kek"]) if v["inputs"]["kek"] else None
    envelope = lorajs.Envelope.seal(key_of(v["inputs"]["key"]), kek, v["inputs"]["kek_label"])
    assert envelope == lorajs.Envelope(v["inputs"]["kek_label"], octets(v["expected"]["AESKey"]))
    is_key(envelope.open(kek), v["inputs"]["key"])


def are_derived(v: Vector, table: dict[str, tuple[KeyName, str]], **given: Any) -> int:
    """Each key of the table that the vector expects, or gives as derived; how many."""
    seen = 0
    for where in ("expected", "derived"):
        for name, want in v.get(where, {}).items():
            if name in table:
                key_name, root = table[name]
                is_key(lorajs.derive(key_name, key_of(v["inputs"][root]), **given), want)
                seen += 1
    return seen


@check("session_keys")
def session_keys(v: Vector) -> None:
    given = {"join_nonce": number(v["inputs"]["join_nonce"]), "nonce": number(v["inputs"]["dev_nonce"])}
    if v["inputs"]["mode"] == "1.0":
        table = {"NwkSKey": (KeyName.F_NWK_S_INT, "app_key"), "AppSKey": (KeyName.APP_S, "app_key")}
        assert are_derived(v, table, scheme=Scheme.V1_0, net_id=number(v["inputs"]["net_id"]), **given) >= 2
        for same in (KeyName.S_NWK_S_INT, KeyName.NWK_S_ENC):
            are_derived(v, {"NwkSKey": (same, "app_key")}, scheme=Scheme.V1_0, net_id=number(v["inputs"]["net_id"]),
                        **given)
    else:
        table = {
            "FNwkSIntKey": (KeyName.F_NWK_S_INT, "nwk_key"), "SNwkSIntKey": (KeyName.S_NWK_S_INT, "nwk_key"),
            "NwkSEncKey": (KeyName.NWK_S_ENC, "nwk_key"), "AppSKey": (KeyName.APP_S, "app_key"),
        }
        assert are_derived(v, table, scheme=Scheme.V1_1, join_eui=number(v["inputs"]["join_eui"]), **given) >= 4


@check("js_keys")
def js_keys(v: Vector) -> None:
    table = {"JSIntKey": (KeyName.JS_INT, "nwk_key"), "JSEncKey": (KeyName.JS_ENC, "nwk_key")}
    assert are_derived(v, table, dev_eui=number(v["inputs"]["dev_eui"])) == 2


@check("multicast_keys")
def multicast_keys(v: Vector) -> None:
    scheme = Scheme.V1_0 if "gen_app_key" in v["inputs"] else Scheme.V1_1
    table = {
        "McRootKey": (KeyName.MC_ROOT, "gen_app_key" if scheme is Scheme.V1_0 else "app_key"),
        "McKEKey": (KeyName.MC_KE, "mc_root_key"), "McAppSKey": (KeyName.MC_APP_S, "mc_key"),
        "McNetSKey": (KeyName.MC_NET_S, "mc_key"),
    }
    assert are_derived(v, table, scheme=scheme, mc_addr=number(v["inputs"].get("mc_addr", 0))) == 1


@check("multicast_mckey")
def multicast_mckey(v: Vector) -> None:
    ke, mc = key_of(v["inputs"]["mc_ke_key"]), key_of(v["inputs"]["mc_key"])
    assert lorajs.mc_key_encrypt(ke, mc) == octets(v["expected"]["McKey_encrypted"])
    is_key(lorajs.mc_key_decrypt(ke, octets(v["expected"]["McKey_encrypted"])), v["inputs"]["mc_key"])


@check("relay_keys")
def relay_keys(v: Vector) -> None:
    assert are_derived(v, {"RootWorSKey": (KeyName.ROOT_WOR_S, "nwk_s_enc_key")}, scheme=Scheme.V1_1) == 1


# ---- frames --------------------------------------------------------------------


def is_frame(frame: lorajs.Frame, want: Vector) -> None:
    for name in ("join_eui", "dev_eui", "net_id"):
        if name in want:
            assert getattr(frame, name) == number(want[name]) and str(getattr(frame, name)) == want[name]["hex"]
    assert frame.nonce == want.get("dev_nonce", want.get("rjcount", frame.nonce))
    assert frame.kind == want.get("rejoin_type", frame.kind)


def request_mic(v: Vector, kind: FrameKind) -> None:
    key, phy = key_of(v["inputs"]["key"]), octets(v["expected"]["frame"])
    frame = lorajs.Frame.parse(phy)
    assert frame.kind is kind and frame.mic == octets(v["expected"]["mic"]) and frame.build() == phy
    is_frame(frame, v["expected"])
    frame.verify(key)
    assert frame.sign(key) == phy
    with pytest.raises(lorajs.Refused, match="code"):
        lorajs.Frame.parse(phy[:-1] + bytes([phy[-1] ^ 1])).verify(key)


@check("join_request_mic")
def join_request_mic(v: Vector) -> None:
    request_mic(v, FrameKind.JOIN)


@check("rejoin_request_mic")
def rejoin_request_mic(v: Vector) -> None:
    request_mic(v, FrameKind(v["inputs"]["rejoin_type"]))


@check("codec_join_request")
def codec_join_request(v: Vector) -> None:
    is_frame(lorajs.Frame.parse(b"\0" + octets(v["inputs"]["bytes"]) + bytes(4)), v["expected"])


@check("codec_rejoin_request")
def codec_rejoin_request(v: Vector) -> None:
    is_frame(lorajs.Frame.parse(b"\xc0" + octets(v["inputs"]["bytes"]) + bytes(4)), v["expected"])


def is_accept(clear: bytes, want: Vector) -> None:
    """What the vector tells of its fields: some sources give the octets alone."""
    accept = lorajs.JoinAccept.parse(clear)
    assert accept.build() == clear
    told = {"join_nonce": accept.join_nonce, "net_id": accept.net_id, "dev_addr": accept.dev_addr,
            "dl_settings": accept.dl_settings, "rx_delay": accept.rx_delay}
    for name, value in told.items():
        assert value == number(want.get(name, value)), name
    if "cflist" in want:
        assert accept.cf_list == (octets(want["cflist"]) if want["cflist"] else None)


@check("codec_join_accept")
def codec_join_accept(v: Vector) -> None:
    is_accept(b"\x20" + octets(v["inputs"]["bytes"]), v["expected"])


def key_or_derived(given: Vector) -> lorajs.Key:
    if "derive" not in given:
        return key_of(given)
    name = KeyName.JS_ENC if given["derive"] == "JSEncKey" else KeyName.JS_INT
    return lorajs.derive(name, key_of(given["nwk_key"]), dev_eui=number(given["dev_eui"]))


def accept_of(given: Vector) -> lorajs.AcceptOf:
    if given["mode"] != "optneg":
        return lorajs.AcceptOf()
    return lorajs.AcceptOf(FrameKind(given["join_req_type"]), Scheme.V1_1, lorajs.EUI(number(given["join_eui"])),
                           number(given["dev_nonce"]))


@check("join_accept")
def join_accept(v: Vector) -> None:
    mic_key, enc_key = key_or_derived(v["inputs"]["mic_key"]), key_or_derived(v["inputs"]["enc_key"])
    of, clear, phy = accept_of(v["inputs"]), octets(v["inputs"]["plaintext"]), octets(v["expected"]["frame"])
    accept = lorajs.JoinAccept.parse(clear)
    if v["expected"]["mic"]["hex"]:  # one source does not print it
        assert accept.mic(of, mic_key) == octets(v["expected"]["mic"])
    assert accept.seal(of, mic_key, enc_key) == phy
    assert lorajs.JoinAccept.open(phy, of, mic_key, enc_key) == accept
    is_accept(clear, v["expected"])
    for flipped, error in ((0, lorajs.FrameError), (5, lorajs.Refused)):
        with pytest.raises(error):
            lorajs.JoinAccept.open(phy[:flipped] + bytes([phy[flipped] ^ 1]) + phy[flipped + 1 :], of, mic_key, enc_key)


@check("join_accept_mic")
def join_accept_mic(v: Vector) -> None:
    accept = lorajs.JoinAccept.parse(octets(v["inputs"]["plaintext"]))
    assert accept.mic(accept_of(v["inputs"]), key_or_derived(v["inputs"]["mic_key"])) == octets(v["expected"]["mic"])


@check("cflist")
def cflist(v: Vector) -> None:
    given, want = v["inputs"], octets(v["expected"]["bytes"])
    made = lorajs.CFList(given["type"], tuple(given.get("frequencies_hz", ())), tuple(given.get("masks_u16", ())))
    assert made.build() == want
    again = lorajs.CFList.parse(want)
    assert again.build() == want and again.type == given["type"]
    assert again.frequency[: len(made.frequency)] == made.frequency and again.mask[: len(made.mask)] == made.mask


@check("cflist_invalid")
def cflist_invalid(v: Vector) -> None:
    with pytest.raises(lorajs.InvalidError):
        lorajs.CFList(v["inputs"]["type"], tuple(v["inputs"]["frequencies_hz"])).build()


@check("dl_settings")
def dl_settings(v: Vector) -> None:
    settings = lorajs.DLSettings(v["inputs"]["opt_neg"], v["inputs"]["rx1_dr_offset"], v["inputs"]["rx2_dr"])
    assert settings.build() == number(v["expected"]["byte"])
    assert lorajs.DLSettings.parse(number(v["expected"]["byte"])) == settings


# ---- data ----------------------------------------------------------------------


@check("data_frame")
def data_frame(v: Vector) -> None:
    given, phy = v["inputs"], octets(v["inputs"]["frame"])
    scheme = Scheme.V1_0 if "nwk_s_key" in given else Scheme.V1_1
    f_name = "nwk_s_key" if scheme is Scheme.V1_0 else "f_nwk_s_int_key"
    f = key_of(given[f_name]) if f_name in given else None
    s = key_of(given["s_nwk_s_int_key"]) if "s_nwk_s_int_key" in given else None
    of = lorajs.DataOf(scheme, given["fcnt"], given.get("conf_fcnt", 0), given.get("tx_dr", 0), given.get("tx_ch", 0))
    frame = lorajs.DataFrame.parse(phy)
    assert frame.build() == phy and frame.mic == octets(v["expected"]["mic"])
    assert lorajs.data_mic(phy, of, f, s) == frame.mic
    assert frame.sign(of, f, s) == phy
    where = {"direction": frame.direction, "dev_addr": frame.dev_addr, "fcnt": of.fcnt}
    if v["expected"].get("frm_payload"):
        clear = lorajs.data_crypt(frame.frm_payload, key_of(given["frm_key"]), **where)
        assert clear == octets(v["expected"]["frm_payload"])
        assert lorajs.data_crypt(clear, key_of(given["frm_key"]), **where) == frame.frm_payload
    if v["expected"].get("fopts"):
        # [errata of 1.1]  a downlink with FPort > 0 is counted by AFCntDown
        stream = Stream.FOPTS_A if frame.direction is Direction.DOWN and frame.fport else Stream.FOPTS
        clear = lorajs.data_crypt(frame.fopts, key_of(given["nwk_s_enc_key"]), stream=stream, **where)
        assert clear == octets(v["expected"]["fopts"])


@check("payload_crypto")
def payload_crypto(v: Vector) -> None:
    given = v["inputs"]
    assert lorajs.data_crypt(
        octets(given["plaintext"]), key_of(given["key"]), direction=Direction[given["direction"].upper()],
        dev_addr=number(given["dev_addr"]), fcnt=given["fcnt"],
        stream=Stream.FOPTS if given["frame_type_constant"] else Stream.FRM_PAYLOAD) == octets(v["expected"]["ciphertext"])


@check("data_mic_down")
def data_mic_down(v: Vector) -> None:
    """Its source feeds an uplink's MHDR to the routine for downlinks, so that only the block below them fits:
    B0 of [L2 1.1 §4.4.1] and the message, under CMAC."""
    given = v["inputs"]
    message = octets(given["message"])
    block = (b"\x49" + given["conf_fcnt"].to_bytes(2, "little") + bytes(2) + b"\1"
             + number(given["dev_addr"]).to_bytes(4, "little") + given["fcnt"].to_bytes(4, "little")
             + bytes([0, len(message)]))
    assert key_of(given["key"]).cmac(block + message)[:4] == octets(v["expected"]["mic"])


CIDS = {"ResetInd": 0x01, "ResetConf": 0x01, "RekeyInd": 0x0B, "RekeyConf": 0x0B, "ForceRejoinReq": 0x0E,
        "RejoinParamSetupReq": 0x0F, "RejoinParamSetupAns": 0x0F}


def command_of(v: Vector) -> lorajs.MacCommand:
    fields = {("data_rate" if name == "dr" else name): value for name, value in v["inputs"]["fields"].items()}
    direction = Direction[v["inputs"].get("direction", "down").upper()]
    return lorajs.MacCommand(CIDS[v["inputs"]["name"]], direction, **fields)


@check("mac_command")
def mac_command(v: Vector) -> None:
    command = command_of(v)
    assert command.name == v["inputs"]["name"]
    order = OctetOrder.HIGH_FIRST if v["id"] == "tts-forcerejoin" else OctetOrder.LOW_FIRST  # its note
    forms = [(order, octets(v["expected"]["bytes"]))]
    if "little_endian" in v.get("derived", {}):
        forms.append((OctetOrder.LOW_FIRST, octets(v["derived"]["little_endian"])))
    for order, want in forms:
        assert command.build(order) == want
        [again] = lorajs.MacCommand.each(want, command.direction, order)
        assert again.build(order) == want and again.name == command.name
        assert all(getattr(again, name) == getattr(command, name) for name in
                   ("minor", "period", "max_retries", "rejoin_type", "data_rate", "max_time_n", "max_count_n", "time_ok"))


@check("mac_command_invalid")
def mac_command_invalid(v: Vector) -> None:
    for order in OctetOrder:
        with pytest.raises(lorajs.InvalidError):
            command_of(v).build(order)


# ---- rules ---------------------------------------------------------------------


@check("nonce_rule")
def nonce_rule(v: Vector) -> None:
    given, want = v["inputs"], v["expected"]
    nwk, app, vault = lorajs.Key.generate(), lorajs.Key.generate(), lorajs.Vault.generate()
    theirs, mac = lorajs.Frame.parse(octets(given["join_request"])), Mac.parse(v["lorawan_version"])
    last = given["last_dev_nonce"] or -1  # The Things Stack writes 0 where nothing was recorded
    record = lorajs.make_device(vault, lorajs.Device(theirs.dev_eui, theirs.join_eui, mac, given["last_join_nonce"] + 1),
                                nwk_key=nwk, app_key=app, last_dev_nonce=last, used_dev_nonces=given["used_dev_nonces"])

    def request(nonce: int) -> lorajs.JoinRequest:  # the vectors do not give the keys
        frame = lorajs.Frame(FrameKind.JOIN, theirs.dev_eui, theirs.join_eui, nonce=nonce)
        return lorajs.JoinRequest(frame.sign(nwk), lorajs.NetID(0x13), lorajs.DevAddr(1), mac,
                                  dl_settings=0x80 if mac >= Mac.V1_1 else 0, clear=Clear.NS)

    if v["id"] == "tts-nonce-11-reset-flag":  # there a flag lets it begin again at any time, here an operator, once
        with pytest.raises(lorajs.Refused, match="nonce"):
            lorajs.join(record, request(theirs.nonce), vault)
        record = lorajs.step_device(record, lorajs.Act.RESET_NONCES, vault)
    record, answer = lorajs.join(record, request(theirs.nonce), vault)
    assert want["accepted"] and answer.join_nonce == want["next_last_join_nonce"]
    [nonces] = lorajs.join_euis(record)
    if want["next_last_dev_nonce"] is not None:
        assert nonces.dev_nonce == want["next_last_dev_nonce"]
    if want["next_used_dev_nonces"] is not None:
        assert set(want["next_used_dev_nonces"]) <= set(nonces.used)
        # A window of ten forgets the eleventh, which can then be replayed.  We forget none.
        assert set(nonces.used) == set(given["used_dev_nonces"]) | {theirs.nonce}
        for used in given["used_dev_nonces"]:
            with pytest.raises(lorajs.Refused, match="nonce"):
                lorajs.join(record, request(used), vault)


@check("dns_name")
def dns_name(v: Vector) -> None:
    """[TS002 §19]  the digits of a NetID, or those of a JoinEUI, the last one first."""
    if "net_id" in v["inputs"]:
        digits = str(lorajs.NetID(v["inputs"]["net_id"]["hex"]))
    else:
        digits = ".".join(reversed(str(lorajs.EUI(v["inputs"]["join_eui"]["hex"]))))
    assert f"{digits}.{v['inputs']['zone']}" == v["expected"]["name"]


# ---- messages --------------------------------------------------------------------


def without_tokens(message: Vector) -> Vector:
    """Hexadecimal of either case is the same; what may be said or not is not compared."""
    return {
        name: value.lower() if isinstance(value, str) and name != "MessageType" else
        {k: w.lower() if k == "AESKey" else w for k, w in value.items() if w} if isinstance(value, dict) else value
        for name, value in message.items()
    }


@check("backend_message")
def backend_message(v: Vector) -> None:
    request = lorajs.Message.parse(v["inputs"]["request"].encode())
    answer = lorajs.Message.parse(v["expected"]["answer"].encode())
    assert request.error is answer.error is lorajs.Code.OK
    for message, text in ((request, v["inputs"]["request"]), (answer, v["expected"]["answer"])):
        built, want = without_tokens(json.loads(message.build())), without_tokens(json.loads(text))
        assert {name: built.get(name) for name in want} == want
        assert lorajs.Message.parse(message.build()) == message
    reply = request.reply(answer.result)
    assert (reply.type, reply.protocol, reply.transaction_id, reply.sender_id, reply.receiver_id, reply.receiver_ns_id) == (
        answer.type, answer.protocol, answer.transaction_id, answer.sender_id, answer.receiver_id, answer.receiver_ns_id)
    if answer.result is lorajs.Code.OK:
        assert request.read_answer(v["expected"]["answer"].encode()) == answer
    else:
        with pytest.raises(lorajs.Refused) as refused:
            request.read_answer(v["expected"]["answer"].encode())
        assert refused.value.code == answer.result and refused.value.message == answer


@check("backend_json")
def backend_json(v: Vector) -> None:
    text = ('{"ProtocolVersion":"1.0","TransactionID":0,"MessageType":"AppSKeyAns","SenderID":"a","ReceiverID":"b",'
            '"Result":{"ResultCode":"Success"},"AppSKey":' + v["expected"]["json"] + "}")
    message = lorajs.Message.parse(text.encode())
    assert message.app_s == lorajs.Envelope(v["inputs"]["kek_label"], octets(v["inputs"]["aes_key"]))


@check("backend_json_hex")
def backend_json_hex(v: Vector) -> None:
    message = lorajs.Message.parse(json.dumps({
        "ProtocolVersion": "1.0", "TransactionID": 0, "MessageType": "HomeNSReq", "SenderID": "a", "ReceiverID": "b",
        "DevEUI": "0102030405060708", "SenderToken": v["inputs"]["text"]}).encode())
    assert message.sender_token == octets(v["expected"]["bytes"])


@check("backend_policy")
def backend_policy(v: Vector) -> None:
    with lorajs.JoinServer(lorajs.Vault.generate(), lorajs.Store.memory()) as server:
        server.set_peers([lorajs.Peer("ns", net_ids=(1, 0x42FFFF, 0), ns_ids=(0x70B3D57ED0000001, 0))])
        message = v["inputs"]["request"].encode()
        if v["expected"]["http_status"] == 400:
            with pytest.raises(lorajs.MessageError) as refused:
                server.handle(message, peer="ns")
            answer = refused.value.answer
        else:
            answer = server.handle(message, peer="ns")
        assert json.loads(answer)["Result"]["ResultCode"] == v["expected"].get("result_code", "MalformedRequest")


def add(server: lorajs.JoinServer, v: Vector) -> None:
    given = v["inputs"]["device"]
    version = given["mac_version"] or v["lorawan_version"]
    device = lorajs.Device(
        dev_eui=lorajs.EUI(given["dev_eui"]["hex"]),
        join_eui=lorajs.EUI(given["join_eui"]["hex"]),
        mac=Mac.parse("1.0.3" if version.startswith("TS002") else version),
        next_join_nonce=given["join_nonce_next"],
        home_net_id=lorajs.NetID(given["home_net_id"]["hex"]) if "home_net_id" in given else None,
        ns_kek_label=given.get("ns_kek_label", ""),
        as_kek_label=given.get("as_kek_label", ""),
    )
    server.make_device(device, nwk_key=key_of(given["nwk_key"]), app_key=key_of(given["app_key"]), allow_weak=True)


def compare(v: Vector, answer: Vector) -> None:
    expected, request = v["expected"], json.loads(v["inputs"]["request"])
    assert answer["MessageType"] == expected["answer_type"]
    assert answer["Result"]["ResultCode"] == expected["result_code"]
    assert answer["SenderID"].lower() == expected["sender_id"]
    assert answer["ReceiverID"].lower() == expected["receiver_id"]
    assert answer["TransactionID"] == request["TransactionID"]
    if "HNetID" in expected:
        assert answer["HNetID"].lower() == expected["HNetID"]
    phy = expected.get("PHYPayload") or v.get("derived", {}).get("PHYPayload")
    if phy and expected["result_code"] == "Success":
        assert answer["PHYPayload"].lower() == phy
    for name, envelope in expected.get("keys", {}).items():
        assert answer[name]["AESKey"].lower() == envelope["AESKey"], name
        assert answer[name].get("KEKLabel", "") == envelope.get("KEKLabel", "")


@check("backend_exchange")
def backend_exchange(v: Vector) -> None:
    with lorajs.JoinServer(lorajs.Vault.generate(), lorajs.Store.memory(), **LAB) as server:
        keks = v["inputs"]["keks"]
        for label, kek in keks.items():
            server.put_kek(label, key_of(kek))
        if keks:  # a KEK belongs to its holder: the network server carries AppSKey on
            net_id = int(json.loads(v["inputs"]["request"])["SenderID"], 16)
            server.set_peers([lorajs.Peer("ns", net_ids=(net_id,), keks=tuple(keks))])
        add(server, v)
        compare(v, json.loads(server.handle(v["inputs"]["request"].encode(), peer="ns" if keks else None)))


@check("qr_code")
def qr_code(v: Vector) -> None:
    """The second has a checksum that is none, and its elements in another order than we write."""
    text, want = v["inputs"]["text"], v["expected"]
    if "checksum" in want:
        with pytest.raises(lorajs.InvalidError, match="checksum"):
            lorajs.QR.parse(text)
    qr = lorajs.QR.parse(text, lenient=True)
    assert qr.strict == ("checksum" not in want)
    assert (qr.join_eui, qr.dev_eui) == (lorajs.EUI(want["join_eui"]["hex"]), lorajs.EUI(want["dev_eui"]["hex"]))
    assert (qr.vendor_id, qr.vendor_profile_id) == (int(want["vendor_id"]["hex"], 16), int(want["profile_id"]["hex"], 16))
    assert (qr.owner_token, qr.serial, qr.proprietary) == tuple(
        want.get(name, "") for name in ("owner_token", "serial", "proprietary"))
    parts = [part for part in want["canonical"].split(":") if not part.startswith("CCHECK")]
    assert qr.build(checksum=False) == ":".join(parts)


@check("qr_code_invalid")
def qr_code_invalid(v: Vector) -> None:
    with pytest.raises(lorajs.InvalidError, match="there is no ProfileID"):
        lorajs.QR.parse(v["inputs"]["text"])


def test_computed_session_over_a_file(tmp_path: pathlib.Path) -> None:
    """One device through joins and rejoins, the server made anew before each."""
    vectors = [v for v in VECTORS if v.get("origin") == "computed"]
    assert len(vectors) == 6 and {v["kind"] for v in vectors} == {"backend_exchange"}
    master = os.urandom(32)
    for i, vector in enumerate(vectors):
        with lorajs.JoinServer(lorajs.Vault(bytearray(master)), lorajs.Store.sqlite(tmp_path / "db"), **LAB) as server:
            if i == 0:
                add(server, vector)
            compare(vector, json.loads(server.handle(vector["inputs"]["request"].encode())))
