"""The same work in Python: a worker over pycryptodome or cryptography.

    peer.py FIXTURES pycryptodome|cryptography

`a`, `b` and `c` are the cryptography of a join; `handler-a`, `-b` and `-c` a handler around it, JSON in and
JSON out, that looks a device up in a dict, and checks no nonce, stores nothing and seals nothing."""

from __future__ import annotations

import importlib
import json
import sys
from hmac import compare_digest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from fixtures import ANSWERS, read  # noqa: E402
from messages import answered, message  # noqa: E402
from protocol import Work, serve  # noqa: E402

aes = importlib.import_module("aes_" + sys.argv[2])
fixtures = read(sys.argv[1])
NS_KEK, AS_KEK = fixtures.ns_kek, fixtures.as_kek

Device = dict[str, bytes]


def join(phy: bytes, device: Device, net_id: bytes, dev_addr: bytes, join_nonce: bytes, settings: bytes,
         cf_list: bytes, wrapped: bool) -> tuple[bytes, list[bytes]]:  # fmt: skip
    """Numbers as they go on air; the accept, then the session keys of the version that OptNeg says."""
    if len(phy) != 23 or phy[0] != 0:
        raise ValueError("no join-request")
    join_eui, dev_eui, nonce = phy[1:9], phy[9:17], phy[17:19]
    nwk, app = device["nwk_key"], device["app_key"]
    if not compare_digest(aes.cmac(nwk, phy[:19])[:4], phy[19:]):
        raise ValueError("MIC")
    clear = join_nonce + net_id + dev_addr + settings + cf_list
    if settings[0] & 0x80:
        js_int = aes.encrypt(nwk, b"\x06" + dev_eui + bytes(7))
        mic = aes.cmac(js_int, b"\xff" + join_eui + nonce + b"\x20" + clear)[:4]
        tail = join_nonce + join_eui + nonce + bytes(2)
        keys = [aes.encrypt(nwk, b"\x01" + tail), aes.encrypt(nwk, b"\x03" + tail), aes.encrypt(nwk, b"\x04" + tail),
                aes.encrypt(app, b"\x02" + tail)]  # fmt: skip
    else:
        mic = aes.cmac(nwk, b"\x20" + clear)[:4]
        tail = join_nonce + net_id + nonce + bytes(7)
        keys = [aes.encrypt(nwk, b"\x01" + tail), aes.encrypt(nwk, b"\x02" + tail)]
    if wrapped:
        keys = [aes.wrap(NS_KEK, key) for key in keys[:-1]] + [aes.wrap(AS_KEK, keys[-1])]
    return b"\x20" + aes.decrypt(nwk, clear + mic), keys


# -- the cryptography alone


def core(kind: str) -> Work:
    def prepared(f: Device) -> tuple[object, ...]:
        settings = f["dl_settings_a" if kind == "a" else "dl_settings_b"] + f["rx_delay"]
        return (f["request"], f, f["net_id"][::-1], f["dev_addr"][::-1], f["join_nonce"][::-1], settings, f["cf_list"],
                kind == "c")  # fmt: skip

    def good(f: Device, answer: object) -> bool:
        accept, *names = ANSWERS[kind]
        return answer == (f[accept], [f[name] for name in names])

    return Work([prepared(f) for f in fixtures.joins], lambda item: join(*item), good)  # type: ignore[misc]


# -- with JSON around it


def handler(kind: str) -> Work:
    devices = {f["dev_eui"]: f for f in fixtures.joins}
    names = ["NwkSKey", "AppSKey"] if kind == "a" else ["FNwkSIntKey", "SNwkSIntKey", "NwkSEncKey", "AppSKey"]

    def handle(body: bytes) -> bytes:
        msg = json.loads(body)
        phy, dev_eui = bytes.fromhex(msg["PHYPayload"]), bytes.fromhex(msg["DevEUI"])
        if msg["MessageType"] != "JoinReq" or phy[9:17] != dev_eui[::-1]:
            raise ValueError("no JoinReq")
        device = devices[dev_eui]
        settings = bytes.fromhex(msg["DLSettings"]) + bytes([msg["RxDelay"]])
        accept, keys = join(phy, device, bytes.fromhex(msg["SenderID"])[::-1], bytes.fromhex(msg["DevAddr"])[::-1],
                            device["join_nonce"][::-1], settings, bytes.fromhex(msg["CFList"]), kind == "c")
        answer = {"ProtocolVersion": "1.0", "SenderID": msg["ReceiverID"], "ReceiverID": msg["SenderID"],
                  "TransactionID": msg["TransactionID"], "MessageType": "JoinAns", "Result": {"ResultCode": "Success"},
                  "PHYPayload": accept.hex(), "Lifetime": 0}
        for name, key in zip(names, keys, strict=True):
            label = "" if kind != "c" else "as-kek" if name == "AppSKey" else "ns-kek"
            answer[name] = {"KEKLabel": label, "AESKey": key.hex()}
        return json.dumps(answer).encode()

    return Work([message(f, kind) for f in fixtures.joins], handle,  # type: ignore[arg-type]
                lambda f, answer: answered(f, kind, answer))  # type: ignore[arg-type]


works = {kind: lambda kind=kind: core(kind) for kind in "abc"}
works |= {f"handler-{kind}": lambda kind=kind: handler(kind) for kind in "abc"}
serve(fixtures, works)  # type: ignore[arg-type]
