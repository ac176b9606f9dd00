"""Frames on air, and a channel as bad as you like."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Callable, Iterable, Union

from .. import EUI, Code, DataFrame, Error, FrameError, Mac, Refused
from .trace import DEVICE, NETWORK, Trace

AIRTIME = 1500  # of each frame, in ms
RX = {True: 5000, False: 1000}  # ms until the answer to a (re)join-request, and to data


@dataclass(frozen=True)
class Uplink:
    """A frame that a device sends."""

    phy: bytes
    dev_eui: EUI  # whose it is: no network server can know that of a data frame
    mac: Mac  # its version, which a network server knows from its device profile
    is_request: bool  # a join- or rejoin-request; else data
    at: int  # when it has been sent, in ms
    data_rate: int = 0
    channel: int = 0
    text: str = ""
    actor: str = DEVICE


Downlinks = Union[Iterable[bytes], bytes, None]
Network = Callable[[Uplink], Downlinks]


def _listed(downlinks: Downlinks) -> list[bytes]:
    if downlinks is None:
        return []
    if isinstance(downlinks, (bytes, bytearray, memoryview)):
        return [bytes(downlinks)]
    return list(downlinks)


def downlink_text(phy: bytes) -> str:
    if phy[:1] and phy[0] >> 5 == 1:
        return "join-accept"
    try:
        data = DataFrame.parse(phy)
    except FrameError:
        return f"{len(phy)} octets"
    return f"downlink {data.fcnt}{', ACK' if data.ack else ''}{', payload' if data.fport else ''}"


class Channel:
    """Between devices and a network: what it loses, doubles and holds back follows from `seed`.

    Percentages of frames, each way.  What is held back comes after the next one to four uplinks, and
    its answers with theirs.  heal(): from then on all arrives, once and in order."""

    def __init__(self, network: Network, *, seed: object = 0, loss: float = 0, duplicate: float = 0,
                 reorder: float = 0, trace: Trace | None = None) -> None:
        if not all(0 <= share <= 100 for share in (loss, duplicate, reorder)):
            raise ValueError("loss, duplicate and reorder are percentages")
        self.network = network
        self.loss, self.duplicate, self.reorder = loss, duplicate, reorder
        self.lost = self.copies = self.held_back = 0
        self._trace = trace if trace is not None else Trace()
        self._random = random.Random(f"{seed}")
        self._uplinks: list[tuple[int, Uplink]] = []
        self._downlinks: list[tuple[int, EUI, bytes]] = []

    def heal(self) -> None:
        """What is held back still comes."""
        self.loss = self.duplicate = self.reorder = 0

    def _chance(self, percent: float) -> bool:
        return self._random.random() * 100 < percent

    def _copies(self) -> int:
        if not self._chance(self.duplicate):
            return 1
        self.copies += 1
        return 2

    def __call__(self, uplink: Uplink) -> list[bytes]:
        """The downlinks that the device hears, in their order."""
        arrived: list[Uplink] = []
        for _ in range(self._copies()):
            if self._chance(self.loss):
                self.lost += 1
                self._trace.message(uplink.at, uplink.actor, NETWORK, uplink.text, lost=True)
            elif self._chance(self.reorder):
                self.held_back += 1
                self._uplinks.append((self._random.randint(1, 4), uplink))
            else:
                arrived.append(uplink)
        arrived += [late for left, late in self._uplinks if left == 0]
        self._uplinks = [(left - 1, late) for left, late in self._uplinks if left]
        heard = [phy for left, whose, phy in self._downlinks if left <= 0 and whose == uplink.dev_eui]
        self._downlinks = [(left - 1, whose, phy) for left, whose, phy in self._downlinks
                           if left > 0 or whose != uplink.dev_eui]
        for one in arrived:
            self._trace.message(uplink.at, one.actor, NETWORK, one.text + ("" if one is uplink else " (late)"))
            for phy in _listed(self.network(one)):
                heard += self._down(uplink, one, phy)
        return heard

    def _down(self, now: Uplink, to: Uplink, phy: bytes) -> list[bytes]:
        """Of one downlink, what its device hears now."""
        heard: list[bytes] = []
        text, at = downlink_text(phy), now.at + RX[to.is_request]
        for _ in range(self._copies()):
            if self._chance(self.loss):
                self.lost += 1
                self._trace.message(at, NETWORK, to.actor, text, lost=True)
            elif to.dev_eui != now.dev_eui or self._chance(self.reorder):
                self.held_back += 1
                self._downlinks.append((self._random.randint(0, 3), to.dev_eui, phy))
            else:
                heard.append(phy)
        return heard


def is_refusal(err: Error) -> bool:
    """Of a frame that is not for this session, or not any more."""
    return isinstance(err, Refused) or err.code == Code.STATE
