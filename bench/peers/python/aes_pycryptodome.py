"""AES by pycryptodome, an object for each operation, as its documentation shows."""

from Crypto.Cipher import AES
from Crypto.Hash import CMAC


def encrypt(key: bytes, blocks: bytes) -> bytes:
    return AES.new(key, AES.MODE_ECB).encrypt(blocks)


def decrypt(key: bytes, blocks: bytes) -> bytes:
    return AES.new(key, AES.MODE_ECB).decrypt(blocks)


def cmac(key: bytes, message: bytes) -> bytes:
    return CMAC.new(key, msg=message, ciphermod=AES).digest()


def wrap(kek: bytes, key: bytes) -> bytes:
    """RFC 3394 section 2.2.1, by hand: the package's own MODE_KW takes nearly twice as long."""
    encrypt = AES.new(kek, AES.MODE_ECB).encrypt
    a, r = b"\xa6" * 8, [key[:8], key[8:]]
    for t in range(12):
        block = encrypt(a + r[t % 2])
        a = (int.from_bytes(block[:8], "big") ^ (t + 1)).to_bytes(8, "big")
        r[t % 2] = block[8:]
    return a + r[0] + r[1]
