#!/usr/bin/python3
"""The joins that everything is measured with, and what each must answer.

    fixtures.py FILE    write them: always the same octets

1024 joins of devices with keys of their own.  Everything is computed here with the `cryptography`
package and by the specification's formulas, so that no implementation is measured by its own word.

The file is a header of 40 octets, "ljsbench", the network server's KEK and the application server's,
then one record of 360 octets for each join: FIELDS below, without padding, numbers most significant
octet first.  Three kinds of join, by the letter that a field's name ends in:

    a   LoRaWAN 1.0.x: `nwk_key` is the one root key; two session keys
    b   LoRaWAN 1.1 with OptNeg: four session keys
    c   as b, and each session key wrapped (RFC 3394), three for the network server, one for the
        application server
"""

from __future__ import annotations

import hashlib
import sys
import warnings
from pathlib import Path
from typing import Iterator, NamedTuple

warnings.filterwarnings("ignore")
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes  # noqa: E402
from cryptography.hazmat.primitives.cmac import CMAC  # noqa: E402
from cryptography.hazmat.primitives.keywrap import aes_key_wrap  # noqa: E402

JOINS = 1024
MAGIC = b"ljsbench"
NET_ID = bytes.fromhex("000013")
MHDR_REQUEST, MHDR_ACCEPT, JOIN_REQUEST = b"\x00", b"\x20", b"\xff"

FIELDS = {
    "join_eui": 8, "dev_eui": 8, "net_id": 3, "dev_addr": 4, "join_nonce": 3, "dev_nonce": 2,
    "rx_delay": 1, "dl_settings_a": 1, "dl_settings_b": 1, "nwk_key": 16, "app_key": 16, "cf_list": 16,
    "request": 23,
    "accept_a": 33, "nwk_s_key_a": 16, "app_s_key_a": 16,
    "accept_b": 33, "f_nwk_s_int_b": 16, "s_nwk_s_int_b": 16, "nwk_s_enc_b": 16, "app_s_key_b": 16,
    "f_nwk_s_int_c": 24, "s_nwk_s_int_c": 24, "nwk_s_enc_c": 24, "app_s_key_c": 24,
}  # fmt: skip

# Of each kind of join: the accept, then the session keys.
ANSWERS = {
    "a": ("accept_a", "nwk_s_key_a", "app_s_key_a"),
    "b": ("accept_b", "f_nwk_s_int_b", "s_nwk_s_int_b", "nwk_s_enc_b", "app_s_key_b"),
    "c": ("accept_b", "f_nwk_s_int_c", "s_nwk_s_int_c", "nwk_s_enc_c", "app_s_key_c"),
}


class Random:
    """Octets that look random and are the same in every run."""

    def __init__(self, seed: bytes, octets: int) -> None:
        self.left = memoryview(hashlib.shake_256(seed).digest(octets))

    def octets(self, n: int) -> bytes:
        taken, self.left = self.left[:n], self.left[n:]
        return bytes(taken)

    def number(self, low: int, high: int) -> int:
        return low + int.from_bytes(self.octets(4), "big") % (high - low)


def encrypt(key: bytes, block: bytes) -> bytes:
    return Cipher(algorithms.AES(key), modes.ECB()).encryptor().update(block)


def decrypt(key: bytes, blocks: bytes) -> bytes:
    return Cipher(algorithms.AES(key), modes.ECB()).decryptor().update(blocks)


def mic(key: bytes, message: bytes) -> bytes:
    cmac = CMAC(algorithms.AES(key))
    cmac.update(message)
    return cmac.finalize()[:4]


def derive(key: bytes, first: int, *parts: bytes) -> bytes:
    return encrypt(key, (bytes([first]) + b"".join(parts)).ljust(16, b"\0"))


def air(number: bytes) -> bytes:
    """A number as it goes on air: least significant octet first."""
    return number[::-1]


def cf_list(random: Random) -> bytes:
    """Five frequencies of the 868 MHz band, in 100 Hz, and CFListType 0."""
    return b"".join(random.number(8630000, 8700000).to_bytes(3, "little") for _ in range(5)) + b"\0"


def join(random: Random, number: int, ns_kek: bytes, as_kek: bytes) -> dict[str, bytes]:
    f = {
        "join_eui": bytes.fromhex("70b3d57ed00000") + bytes([number % 16]),
        "dev_eui": bytes.fromhex("70b3d5499f") + random.octets(1) + number.to_bytes(2, "big"),
        "net_id": NET_ID,
        "dev_addr": (0x26000000 | random.number(0, 1 << 24)).to_bytes(4, "big"),
        # Room below for earlier sessions, and above for many later ones.
        "join_nonce": random.number(1 << 8, 1 << 20).to_bytes(3, "big"),
        "dev_nonce": random.number(1 << 8, 1 << 9).to_bytes(2, "big"),
        "rx_delay": bytes([random.number(1, 16)]),
        "dl_settings_a": bytes([random.number(0, 0x10)]),
        "nwk_key": random.octets(16),
        "app_key": random.octets(16),
        "cf_list": cf_list(random),
    }
    f["dl_settings_b"] = bytes([f["dl_settings_a"][0] | 0x80])
    nwk, app, nonce = f["nwk_key"], f["app_key"], air(f["dev_nonce"])
    join_eui, join_nonce, net_id = air(f["join_eui"]), air(f["join_nonce"]), air(f["net_id"])

    request = MHDR_REQUEST + join_eui + air(f["dev_eui"]) + nonce  # [L2 1.0.4 §6.2.5]
    f["request"] = request + mic(nwk, request)

    def accept(dl_settings: bytes, mic_key: bytes, before: bytes) -> bytes:
        clear = join_nonce + net_id + air(f["dev_addr"]) + dl_settings + f["rx_delay"] + f["cf_list"]
        return MHDR_ACCEPT + decrypt(nwk, clear + mic(mic_key, before + MHDR_ACCEPT + clear))

    # [L2 1.0.4 §6.2.6]
    f["accept_a"] = accept(f["dl_settings_a"], nwk, b"")
    f["nwk_s_key_a"] = derive(nwk, 0x01, join_nonce, net_id, nonce)
    f["app_s_key_a"] = derive(nwk, 0x02, join_nonce, net_id, nonce)
    # [L2 1.1 §6.1.1.3, §6.1.2.2, §6.2.3]
    js_int_key = derive(nwk, 0x06, air(f["dev_eui"]))
    f["accept_b"] = accept(f["dl_settings_b"], js_int_key, JOIN_REQUEST + join_eui + nonce)
    for first, root, name in ((1, nwk, "f_nwk_s_int"), (3, nwk, "s_nwk_s_int"), (4, nwk, "nwk_s_enc"),
                              (2, app, "app_s_key")):  # fmt: skip
        f[name + "_b"] = derive(root, first, join_nonce, join_eui, nonce)
        f[name + "_c"] = aes_key_wrap(as_kek if root is app else ns_kek, f[name + "_b"])
    return f


class Fixtures(NamedTuple):
    ns_kek: bytes
    as_kek: bytes
    joins: list[dict[str, bytes]]


def made() -> Fixtures:
    random = Random(b"lorajs: joins to measure with", 256 * JOINS)
    ns_kek, as_kek = random.octets(16), random.octets(16)
    return Fixtures(ns_kek, as_kek, [join(random, n, ns_kek, as_kek) for n in range(JOINS)])


def encoded(fixtures: Fixtures) -> bytes:
    parts = [MAGIC, fixtures.ns_kek, fixtures.as_kek]
    for f in fixtures.joins:
        for name, length in FIELDS.items():
            assert len(f[name]) == length, name
            parts.append(f[name])
    return b"".join(parts)


def read(path: str | Path) -> Fixtures:
    """The file again."""
    octets = Path(path).read_bytes()
    size = sum(FIELDS.values())
    assert octets[:8] == MAGIC and (len(octets) - 40) % size == 0

    def records() -> Iterator[dict[str, bytes]]:
        for start in range(40, len(octets), size):
            f, at = {}, start
            for name, length in FIELDS.items():
                f[name] = octets[at : at + length]
                at += length
            yield f

    return Fixtures(octets[8:24], octets[24:40], list(records()))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    Path(sys.argv[1]).write_bytes(encoded(made()))
