"""A fixture's join as a Backend Interfaces message, and whether an answer is the right one: fixtures.c
says the same in C."""

from __future__ import annotations

import json

KEYS = {
    "a": {"NwkSKey": "nwk_s_key_a", "AppSKey": "app_s_key_a"},
    "b": {"FNwkSIntKey": "f_nwk_s_int_b", "SNwkSIntKey": "s_nwk_s_int_b", "NwkSEncKey": "nwk_s_enc_b",
          "AppSKey": "app_s_key_b"},
    "c": {"FNwkSIntKey": "f_nwk_s_int_c", "SNwkSIntKey": "s_nwk_s_int_c", "NwkSEncKey": "nwk_s_enc_c",
          "AppSKey": "app_s_key_c"},
}  # fmt: skip


def message(f: dict[str, bytes], kind: str, request: bytes | None = None) -> bytes:
    """A JoinReq; `request` is the frame where it is not the fixture's own."""
    return json.dumps({
        "ProtocolVersion": "1.0", "SenderID": f["net_id"].hex(), "ReceiverID": f["join_eui"].hex(),
        "TransactionID": int.from_bytes(f["dev_addr"], "big"), "MessageType": "JoinReq",
        "MACVersion": "1.0.3" if kind == "a" else "1.1.0", "PHYPayload": (request or f["request"]).hex(),
        "DevEUI": f["dev_eui"].hex(), "DevAddr": f["dev_addr"].hex(),
        "DLSettings": f["dl_settings_a" if kind == "a" else "dl_settings_b"].hex(), "RxDelay": f["rx_delay"][0],
        "CFList": f["cf_list"].hex(),
    }, separators=(",", ":")).encode()  # fmt: skip


def answered(f: dict[str, bytes], kind: str, answer: bytes) -> bool:
    said = json.loads(answer)
    accept = f["accept_a" if kind == "a" else "accept_b"]
    return bytes.fromhex(said["PHYPayload"]) == accept and all(
        bytes.fromhex(said[name]["AESKey"]) == f[field] for name, field in KEYS[kind].items())
