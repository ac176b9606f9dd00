"""A fleet of simulated devices for the tests: provisioning, running, and LoRaWAN's
cryptography a second time, over libgcrypt by ctypes, so that what the program says about
itself can be checked from outside."""

from __future__ import annotations

import ctypes
import ctypes.util
import json
import os
import pathlib
import subprocess
from typing import Any

import judge
from conftest import PATIENCE

_gcrypt = ctypes.CDLL(ctypes.util.find_library("gcrypt") or "libgcrypt.so.20")
_gcrypt.gcry_check_version.restype = ctypes.c_char_p
_gcrypt.gcry_check_version(None)
_AES128, _ECB, _CMAC_AES = 7, 1, 201


def _ecb(key: bytes, data: bytes, function: str) -> bytes:
    handle, out = ctypes.c_void_p(), ctypes.create_string_buffer(len(data))
    assert _gcrypt.gcry_cipher_open(ctypes.byref(handle), _AES128, _ECB, 0) == 0
    assert _gcrypt.gcry_cipher_setkey(handle, key, ctypes.c_size_t(len(key))) == 0
    assert getattr(_gcrypt, function)(handle, out, ctypes.c_size_t(len(data)), data, ctypes.c_size_t(len(data))) == 0
    _gcrypt.gcry_cipher_close(handle)
    return out.raw


def encrypt(key: bytes, data: bytes) -> bytes:
    return _ecb(key, data, "gcry_cipher_encrypt")


def cmac(key: bytes, data: bytes) -> bytes:
    handle, out, n = ctypes.c_void_p(), ctypes.create_string_buffer(16), ctypes.c_size_t(16)
    assert _gcrypt.gcry_mac_open(ctypes.byref(handle), _CMAC_AES, 0, None) == 0
    assert _gcrypt.gcry_mac_setkey(handle, key, ctypes.c_size_t(len(key))) == 0
    assert _gcrypt.gcry_mac_write(handle, data, ctypes.c_size_t(len(data))) == 0
    assert _gcrypt.gcry_mac_read(handle, out, ctypes.byref(n)) == 0
    _gcrypt.gcry_mac_close(handle)
    return out.raw


def le(number: int, octets: int) -> bytes:
    return number.to_bytes(octets, "little")


JOIN_REQ_TYPE = {"rejoin0": 0, "rejoin1": 1, "rejoin2": 2, "join": 0xFF}


def root_keys(line: dict) -> dict[str, bytes]:
    """Those of a line for `device import`, and what hangs on them for life."""
    nwk = bytes.fromhex(line.get("nwk_key") or line["app_key"])
    keys = {"root": nwk}
    if line["lorawan_version"].startswith("1.1"):
        dev_eui = le(int(line["dev_eui"], 16), 8)
        keys["app"] = bytes.fromhex(line["app_key"])
        keys["js_int"] = encrypt(nwk, (b"\x06" + dev_eui).ljust(16, b"\0"))  # [L2 1.1 §6.1.1.3]
        keys["js_enc"] = encrypt(nwk, (b"\x05" + dev_eui).ljust(16, b"\0"))
    return keys


def session_keys(line: dict, got: judge.Got) -> dict[str, bytes]:
    """What the device derives for this accept.  [L2 1.0.4 §6.2.6, L2 1.1 §6.2.5]"""
    roots, v11 = root_keys(line), got.ask.mac.startswith("1.1")
    middle = le(int(line["join_eui"], 16), 8) if v11 else le(got.ask.net_id, 3)
    rest = le(got.join_nonce, 3) + middle + le(got.ask.nonce, 2)
    table = ([(1, "root"), (3, "root"), (4, "root"), (2, "app")] if v11 else [(1, "root"), (2, "root")])
    return {f"session{tag}": encrypt(roots[root], (bytes([tag]) + rest).ljust(16, b"\0")) for tag, root in table}


def open_accept(line: dict, got: judge.Got) -> int:
    """Decrypt, check the MIC, and tell the JoinNonce.  [L2 1.1 §6.2.3]"""
    roots, v11 = root_keys(line), got.ask.mac.startswith("1.1")
    clear = encrypt(roots["root" if got.ask.kind == "join" else "js_enc"], got.accept[1:])
    text = got.accept[:1] + clear[:-4]
    if v11:
        text = bytes([JOIN_REQ_TYPE[got.ask.kind]]) + le(int(line["join_eui"], 16), 8) + le(got.ask.nonce, 2) + text
    assert cmac(roots["js_int" if v11 else "root"], text)[:4] == clear[-4:], "MIC of the accept"
    assert int.from_bytes(clear[3:6], "little") == got.ask.net_id
    return int.from_bytes(clear[:3], "little")


def join_request(line: dict, dev_nonce: int) -> bytes:
    """A join-request of a device of LoRaWAN 1.0.x, MIC and all.  [L2 1.0.4 §6.2.5]"""
    text = b"\0" + le(int(line["join_eui"], 16), 8) + le(int(line["dev_eui"], 16), 8) + le(dev_nonce, 2)
    return text + cmac(root_keys(line)["root"], text)[:4]


class Fleet:
    """`devices` simulated devices, provisioned into a data directory."""

    def __init__(self, program: str, data: pathlib.Path, devices: int, *flags: object, seed: str = "test") -> None:
        self.program, self.data, self.devices = program, data, devices
        self.flags = ["--devices", str(devices), "--seed", seed]
        self.journal = data.parent / "journal"
        provision = subprocess.run([program, "simulate", *self.flags, "--provision", *map(str, flags)],
                                   stdout=subprocess.PIPE, check=True, timeout=PATIENCE)
        self.lines = {int(line["dev_eui"], 16): line for line in map(json.loads, provision.stdout.splitlines())}
        assert len(self.lines) == devices
        subprocess.run([program, "device", "import", "-", "--data", str(data)], input=provision.stdout, check=True,
                       stdout=subprocess.DEVNULL, timeout=5 * PATIENCE)

    def start(self, url: str, *flags: object, **more: Any) -> subprocess.Popen:
        return subprocess.Popen(
            [self.program, "simulate", *self.flags, "--url", url, "--journal", str(self.journal), "--json",
             *map(str, flags)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more)

    def simulate(self, url: str, *flags: object, code: int | None = 0, timeout: float = 10 * PATIENCE) -> dict:
        """A simulation to its end; the summary."""
        return finish(self.start(url, *flags), code, timeout)

    def judge(self) -> dict:
        """Both judges must agree that no law is broken; the verdict of the one in C."""
        assert judge.judge(judge.read(self.journal)) == []
        done = subprocess.run([self.program, "simulate", "--judge", str(self.journal), "--json"],
                              capture_output=True, timeout=PATIENCE)
        assert done.returncode == 0, done.stderr.decode()
        return json.loads(done.stdout)


def finish(process: subprocess.Popen, code: int | None = 0, timeout: float = 10 * PATIENCE) -> dict:
    out, err = process.communicate(timeout=timeout)
    assert code is None or process.returncode == code, f"exit {process.returncode}\n{out.decode()}\n{err.decode()}"
    return json.loads(out)
