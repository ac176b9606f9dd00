"""Join-requests of LoRaWAN 1.0.3 as a network server sends them, for tests of the daemon."""

from __future__ import annotations

import dataclasses
import json
import os

from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.cmac import CMAC


@dataclasses.dataclass
class Device:
    """An end device that counts its DevNonces."""

    dev_eui: int
    join_eui: int = 0x70B3D57ED0000000
    key: bytes = dataclasses.field(default_factory=lambda: os.urandom(16))
    nonce: int = -1

    def line(self, **members: object) -> str:
        """For `device import`."""
        return json.dumps({"dev_eui": f"{self.dev_eui:016x}", "join_eui": f"{self.join_eui:016x}",
                           "lorawan_version": "1.0.3", "nwk_key": self.key.hex(), **members}) + "\n"

    def frame(self, nonce: int) -> bytes:
        body = (b"\x00" + self.join_eui.to_bytes(8, "little") + self.dev_eui.to_bytes(8, "little")
                + nonce.to_bytes(2, "little"))
        mac = CMAC(AES(self.key))
        mac.update(body)
        return body + mac.finalize()[:4]

    def join(self, net_id: str = "000013", transaction: int = 1, frame: bytes | None = None, **members: object) -> dict:
        """A JoinReq: with the next DevNonce, unless the frame is given."""
        if frame is None:
            self.nonce += 1
            frame = self.frame(self.nonce)
        return {"ProtocolVersion": "1.0", "SenderID": net_id, "ReceiverID": f"{self.join_eui:016x}",
                "TransactionID": transaction, "MessageType": "JoinReq", "MACVersion": "1.0.3",
                "PHYPayload": frame.hex(), "DevEUI": f"{self.dev_eui:016x}", "DevAddr": "01020304",
                "DLSettings": "00", "RxDelay": 1, **members}


def devices(n: int, first: int = 0x0102030405060000) -> list[Device]:
    return [Device(first + i) for i in range(n)]


def result(answer: bytes | dict) -> str:
    """The ResultCode of an answer."""
    if not isinstance(answer, dict):
        answer = json.loads(answer)
    return answer["Result"]["ResultCode"]
