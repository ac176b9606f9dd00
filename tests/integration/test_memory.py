"""No key stands where it must not: not in the log, not in the database, its WAL or its
shared memory, not in a parcel, a backup or metrics, and, while no step runs, nowhere in the memory of
the daemon; what it has to keep, the subkeys of the master key, on guarded pages alone.

The scanner reads every mapping of /proc/PID/mem, and shows first that it can find a key
where there is one.  The daemon is not dumpable, so that takes root or CAP_SYS_PTRACE; where
neither is, these tests are skipped and say so."""

from __future__ import annotations

import base64
import hashlib
import os
import pathlib
import re
import subprocess
import sys
import time
from typing import Callable, Iterable, Iterator

import pytest

import judge
from conftest import Server
from fleet import Fleet, encrypt, join_request, root_keys, session_keys
from test_serve import get, metrics_url
from test_serve_tls import Pki, peer, pin, tls_lines

CHUNK = 1 << 22
METRICS = ("--metrics", "127.0.0.1:0")


def forms(key: bytes) -> dict[str, bytes]:
    """What a key may look like: as it is or reversed, as octets or as text.  In base64, by where it
    stands among threes of octets, those letters that it alone decides."""
    found = {"octets": key, "reversed": key[::-1], "hex": key.hex().encode(), "HEX": key.hex().upper().encode(),
             "reversed hex": key[::-1].hex().encode(), "reversed HEX": key[::-1].hex().upper().encode()}
    for before in range(3):
        text = base64.b64encode(bytes(before) + key)
        whole = text[(8 * before + 5) // 6:8 * (before + len(key)) // 6]
        found[f"base64 at {before}"] = whole
        found[f"base64url at {before}"] = whole.replace(b"+", b"-").replace(b"/", b"_")
    return found


def halves(keys: dict[str, bytes]) -> dict[str, bytes]:
    """A schedule for decrypting has the round keys in the other order: of a key of AES-256 the second
    half comes first.  The first round key of any schedule is the key, or its first half."""
    return keys | {f"half {i} of {name}": key[16 * i:16 * i + 16] for name, key in keys.items() for i in range(2)
                   if len(key) == 32}


class Needles:
    """Many keys in all their forms, looked for at once: each eight octets of the haystack are
    one look into a set."""

    def __init__(self, keys: dict[str, bytes]) -> None:
        self.longest = 0
        self.by_start: dict[int, list[tuple[str, bytes]]] = {}
        for name, key in keys.items():
            assert len(key) >= 8
            for form, text in forms(key).items():
                start = int.from_bytes(text[:8], sys.byteorder)
                self.by_start.setdefault(start, []).append((f"{name} as {form}", text))
                self.longest = max(self.longest, len(text))
        self.starts = frozenset(self.by_start)

    def find(self, hay: bytes) -> set[str]:
        found = set()
        for shift in range(8):
            whole = (len(hay) - shift) // 8 * 8
            if whole <= 0:
                continue
            for start in self.starts.intersection(memoryview(hay)[shift:shift + whole].cast("Q")):
                found |= {name for name, text in self.by_start[start] if text in hay}
        return found


def mappings(pid: int) -> Iterator[tuple[int, int, str]]:
    for line in pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines():
        place, _perms, _offset, _device, _inode, *name = line.split(None, 5)
        begin, end = (int(number, 16) for number in place.split("-"))
        yield begin, end, name[0] if name else ""


def pieces(pid: int, overlap: int) -> Iterator[tuple[int, bytes, str]]:
    """All that can be read of a process: where it begins, and whose mapping it is.  A piece begins with the
    last `overlap` octets of the one before it.  /proc/PID/mem reads also what the process itself may not:
    pages without any permission."""
    try:
        memory = open(f"/proc/{pid}/mem", "rb", buffering=0)
    except PermissionError:
        pytest.skip("the memory of another process may not be read here: that takes root, or CAP_SYS_PTRACE")
    with memory:
        for begin, end, name in mappings(pid):
            if name in ("[vvar]", "[vsyscall]"):  # the kernel's, and not to be read
                continue
            tail = b""
            for at in range(begin, end, CHUNK):
                try:
                    memory.seek(at)
                    piece = memory.read(min(CHUNK, end - at))
                except OSError:  # a guard page
                    tail = b""
                    continue
                yield at - len(tail), tail + piece, name or "memory"
                tail = piece[-overlap:]


def scan_memory(pid: int, needles: Needles) -> tuple[set[str], int]:
    """What of the needles is found, and how many octets could be read."""
    found, octets = set(), 0
    for _, piece, name in pieces(pid, needles.longest):
        octets += len(piece)
        if piece.count(0) != len(piece):
            found |= {f"{what} in {name}" for what in needles.find(piece)}
    return found, octets


def places(pid: int, key: bytes) -> set[int]:
    """Every address at which these octets stand."""
    return {at + match.start() for at, piece, _ in pieces(pid, len(key) - 1)
            for match in re.finditer(re.escape(key), piece)}


def on_guarded_page(pid: int, address: int) -> bool:
    """Locked, left out of dumps, and between pages that nobody may touch."""
    found: list[tuple[int, int, str, str]] = []
    for line in pathlib.Path(f"/proc/{pid}/smaps").read_text().splitlines():
        if head := re.match(r"([0-9a-f]+)-([0-9a-f]+) (\S+)", line):
            found.append((int(head[1], 16), int(head[2], 16), head[3], ""))
        elif line.startswith("VmFlags:"):
            found[-1] = (*found[-1][:3], line)
    at = next(i for i, (begin, end, _, _) in enumerate(found) if begin <= address < end)
    (begin, end, _, flags), before, after = found[at], found[at - 1], found[at + 1]
    return (" lo" in flags and " dd" in flags and before[1] == begin and before[2].startswith("---")
            and after[0] == end and after[2].startswith("---"))


def scan_files(paths: Iterable[pathlib.Path], needles: Needles) -> set[str]:
    return {f"{what} in {path.name}" for path in paths for what in needles.find(path.read_bytes())}


HOLDER = """
import sys
key = bytearray.fromhex(sys.stdin.readline())
{keep}
print("holding", flush=True)
sys.stdin.readline()
"""


@pytest.mark.parametrize(("keep", "form"), [
    ("held = bytes(key)", "octets"),
    ("held = bytes(reversed(key))", "reversed"),
    ("held = key.hex().upper().encode()", "HEX"),
    ("import base64; held = base64.b64encode(b'ab' + key)", "base64 at 2"),
    ("import mmap; held = mmap.mmap(-1, 1 << 16); held[4093:4109] = bytes(key)", "octets"),
])
def test_the_scanner_finds_a_planted_key(keep: str, form: str) -> None:
    key, other = os.urandom(16), os.urandom(16)
    holder = subprocess.Popen([sys.executable, "-c", HOLDER.format(keep=keep)], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, text=True)
    try:
        holder.stdin.write(key.hex() + "\n")
        holder.stdin.flush()
        assert holder.stdout.readline() == "holding\n"
        found, _ = scan_memory(holder.pid, Needles({"planted": key, "other": other}))
        assert any(what.startswith(f"planted as {form} in") for what in found)
        assert not any(on_guarded_page(holder.pid, at) for at in places(holder.pid, forms(key)[form]))
        assert not any(what.startswith("other") for what in found)
    finally:
        holder.communicate("\n")


HANDLE = """
import ctypes, sys
library = ctypes.CDLL(sys.argv[1])
handle = ctypes.c_void_p()
half = bytearray.fromhex(sys.stdin.readline())
octets = (ctypes.c_ubyte * 16)(*half)
ctypes.memset((ctypes.c_ubyte * 16).from_buffer(half), 0, 16)
for i in range(16):
    octets[i] ^= 0x55
assert library.ljs_key_import(ctypes.byref(handle), octets, ctypes.c_size_t(16)) == 0
ctypes.memset(octets, 0, 16)
print("holding", flush=True)
sys.stdin.readline()
library.ljs_key_free(handle)
print("freed", flush=True)
sys.stdin.readline()
"""


def test_the_scanner_finds_a_key_in_guarded_memory(program: str) -> None:
    """A handle of the library keeps its key on a guarded page: the scanner sees it there, and
    sees that it is gone when the handle is freed.  (The key reaches the process masked.)"""
    library = pathlib.Path(program).resolve().parent.parent / "libjs/liblorajs.so"
    if not library.exists():
        pytest.skip("the library is not beside the program")
    key = os.urandom(16)
    holder = subprocess.Popen([sys.executable, "-c", HANDLE, str(library)], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, text=True)
    needles = Needles({"planted": key})
    try:
        holder.stdin.write(bytes(octet ^ 0x55 for octet in key).hex() + "\n")
        holder.stdin.flush()
        assert holder.stdout.readline() == "holding\n"
        assert scan_memory(holder.pid, needles)[0] == {"planted as octets in memory"}
        assert [on_guarded_page(holder.pid, at) for at in places(holder.pid, key)] == [True]
        holder.stdin.write("\n")
        holder.stdin.flush()
        assert holder.stdout.readline() == "freed\n"
        assert scan_memory(holder.pid, needles)[0] == set()
    finally:
        holder.communicate("\n")


def test_the_scanner_finds_a_key_across_pieces() -> None:
    key = os.urandom(16)
    for at in range(64):
        assert Needles({"key": key}).find(bytes(at) + key + bytes(5)) == {"key as octets"}
    assert Needles({"key": key}).find(key[:15] + bytes(9)) == set()


def keys_of(fleet: Fleet) -> dict[str, bytes]:
    """Every key of every device, and of every session that the journal tells of."""
    keys = {f"{name} key of device {dev_eui:016x}": key
            for dev_eui, line in fleet.lines.items() for name, key in root_keys(line).items()}
    for got in judge.read(fleet.journal).sessions():
        for name, key in session_keys(fleet.lines[got.ask.dev_eui], got).items():
            keys[f"{name} key of device {got.ask.dev_eui:016x}, JoinNonce {got.join_nonce}"] = key
    return keys


def quiet(server: Server) -> None:
    """Until the daemon has nothing to do: no processor time for a second."""
    def spent() -> list[str]:
        return pathlib.Path(f"/proc/{server.process.pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]

    before = spent()
    for _ in range(60):
        time.sleep(1)
        now = spent()
        if now == before:
            return
        before = now
    raise AssertionError("the daemon does not come to rest")


def keys_seen(fleet: Fleet, server: Server, version: str, dev_nonce: int) -> dict[str, bytes]:
    """One more join of a device of this version, and the keys in its answer, which must be
    those that keys_of() would look for."""
    line = next(line for line in fleet.lines.values() if line["lorawan_version"] == version)
    phy = join_request(line, dev_nonce)
    answer = server.ask({
        "ProtocolVersion": "1.0", "SenderID": "000001", "ReceiverID": line["join_eui"], "TransactionID": 1,
        "MessageType": "JoinReq", "MACVersion": version, "PHYPayload": phy.hex(), "DevEUI": line["dev_eui"],
        "DevAddr": "02000001", "DLSettings": "80" if version == "1.1" else "00", "RxDelay": 1})
    accept = bytes.fromhex(answer["PHYPayload"])
    join_nonce = int.from_bytes(encrypt(root_keys(line)["root"], accept[1:])[:3], "little")
    got = judge.Got(judge.Ask(int(line["dev_eui"], 16), 0, "join", dev_nonce, version, 1, phy), join_nonce,
                    answer["SessionKeyID"], accept)
    keys = {name: bytes.fromhex(answer[name]["AESKey"]) for name in answer if name.endswith("Key")}
    assert sorted(keys.values()) == sorted(session_keys(line, got).values())
    return {f"{name} of the last join with {version}": key for name, key in keys.items()}


def check(fleet: Fleet, server: Server, data: pathlib.Path, more: dict[str, bytes], capsys) -> None:
    keys = halves(keys_of(fleet) | more)
    needles = Needles(keys)
    quiet(server)
    found, octets = scan_memory(server.process.pid, needles)

    # The scan is of the daemon, and whole: what it must know is found in the same way.
    control = Needles({"its directory": str(data).encode()})
    assert any("its directory as octets" in what for what in scan_memory(server.process.pid, control)[0])
    assert octets > 1 << 20
    assert not found, sorted(found)[:20]

    # What goes away from here: every device in a parcel, a backup, and what is counted.
    parcel, backup, metrics = (data.parent / name for name in ("parcel", "backup", "metrics"))
    for name, kind in (("to", "x25519"), ("sign", "ed25519")):
        if not (data.parent / name).exists():
            subprocess.run([fleet.program, "key", "pair", kind, "--output", data.parent / name], check=True,
                           stdout=subprocess.DEVNULL)
    subprocess.run([fleet.program, "device", "export", "--data", data, "--all", "--to", data.parent / "to.pub", "--sign",
                    data.parent / "sign", "--output", parcel], check=True, stdout=subprocess.DEVNULL)
    subprocess.run([fleet.program, "backup", "--data", data, "--to", backup], check=True, stdout=subprocess.DEVNULL)
    metrics.write_text(get(metrics_url(server) + "/metrics")[1])
    assert "lorajs_" in metrics.read_text()

    # With the daemon alive the WAL still holds what the database does not yet.
    files = [path for path in [*data.rglob("*"), server.log, parcel, backup, metrics] if path.is_file()]
    assert {"lorajs.db", "lorajs.db-wal", "lorajs.db-shm", "master.key"} <= {path.name for path in files}
    assert server.log.read_bytes(), "an empty log proves nothing"
    assert not scan_files(files, needles)
    known = Needles({"SessionKeyID": bytes.fromhex(judge.read(fleet.journal).gots()[-1].session_key_id)})
    assert scan_files(files, known), "the control: a SessionKeyID does stand in the database"

    assert server.stop() == 0
    assert not scan_files([path for path in [*data.rglob("*"), server.log] if path.is_file()], needles)
    with capsys.disabled():
        print(f"\n  {len(keys)} keys looked for in {octets >> 20} MiB of memory and {len(files)} files")


@pytest.mark.parametrize("log", ["info", "debug"])
def test_wrapped_keys(program: str, data: pathlib.Path, run: Callable, serve: Callable[..., Server],
                      tmp_path: pathlib.Path, capsys, log: str) -> None:
    """As it should be run: every key under a KEK.  KEKs are in no place either."""
    keks = {"ns": os.urandom(16), "as": os.urandom(32)}
    for label, kek in keks.items():
        run("kek", "add", label, "--data", data, input=kek.hex())
    kek_file = tmp_path / "keks"
    kek_file.write_text("".join(f"{label} {kek.hex()}\n" for label, kek in keks.items()))
    fleet = Fleet(program, data, 400, "--ns-kek", "ns", "--as-kek", "as", "--as-id", "as.example")
    server = serve("--log-level", log, *METRICS)
    told = fleet.simulate(server.url, "--kek-file", kek_file, "--joins", 2, "--rejoins", 2, "--as-id", "as.example",
                          "--checks", 4)
    assert told["failures"] == {} and told["app_s_keys"] > 100
    check(fleet, server, data, {f"KEK {label}": kek for label, kek in keks.items()}, capsys)


def test_keys_in_clear(program: str, data: pathlib.Path, serve: Callable[..., Server], capsys) -> None:
    """A laboratory: session keys leave the daemon in clear, and yet none stays behind."""
    fleet = Fleet(program, data, 400, "--as-id", "as.example")
    server = serve("--allow-clear-keys", "--log-level", "debug", *METRICS)
    told = fleet.simulate(server.url, "--joins", 2, "--rejoins", 2, "--as-id", "as.example", "--checks", 4)
    assert told["failures"] == {}
    sent = os.urandom(16)
    for times in 1, 60:  # in the room that each request has, and in more
        assert server.post(sent.hex() * times)[0] == 400
    check(fleet, server, data, keys_seen(fleet, server, "1.1", 60000) | keys_seen(fleet, server, "1.0.4", 60000)
          | {"what was sent": sent}, capsys)


def test_keys_in_clear_over_tls(program: str, data: pathlib.Path, serve: Callable[..., Server],
                                tmp_path: pathlib.Path, capsys) -> None:
    """Nor in what the TLS library keeps for itself."""
    pki = Pki(tmp_path)
    config = tmp_path / "lorajs.conf"
    config.write_text(tls_lines(pki) + peer("ns", pin(pki.pinned), "000001"))
    fleet = Fleet(program, data, 400)
    server = serve("--config", config, *METRICS)
    told = fleet.simulate(f"https://localhost:{server.port}", "--ca", pki.server.pem, "--cert", pki.pinned.pem,
                          "--cert-key", pki.pinned.key_pem, "--joins", 2, "--rejoins", 2)
    assert told["failures"] == {}
    check(fleet, server, data, {}, capsys)


def subkeys(master: bytes) -> dict[str, bytes]:
    """What the vault seals and recognises keys with, and its tags of records, old ones too, and KEKs: libsodium's
    key derivation, which is keyed BLAKE2b."""
    def subkey(key: bytes, context: str, number: int) -> bytes:
        return hashlib.blake2b(digest_size=32, key=key, salt=number.to_bytes(16, "little"),
                               person=context.encode().ljust(16, b"\0")).digest()

    more = subkey(master, "ljs.more", 1)
    return {f"{context} {number}": subkey(key, context, number)
            for key, context, number in ((master, "ljs.seal", 1), (master, "ljs.same", 1), (master, "ljs.tags", 1),
                                         (master, "ljs.tags", 2), (more, "ljs.tags", 20))}


def test_neither_master_key_nor_passphrase(run: Callable, data: pathlib.Path, serve: Callable[..., Server],
                                          tmp_path: pathlib.Path) -> None:
    """While it serves, the vault keeps subkeys only, on guarded pages, and the passphrase was wiped."""
    words = tmp_path / "words"
    words.write_text(os.urandom(20).hex())
    words.chmod(0o600)
    source = f"passphrase:file:{words}"
    run("kek", "add", "ns", "--data", data, input=os.urandom(16).hex())
    key = (data / "master.key").read_text().strip()
    run("master", "move", "--data", data, "--to", source, "--stretch-memory", 8)
    server = serve("--master-key", source)
    quiet(server)
    needles = Needles({"master key": bytes.fromhex(key), "passphrase": words.read_bytes()})
    found, octets = scan_memory(server.process.pid, needles)
    assert not found and octets > 1 << 20

    # The subkeys are found, and nowhere else: so a key in ordinary memory of the daemon would be.
    for name, subkey in subkeys(bytes.fromhex(key)).items():
        at = places(server.process.pid, subkey)
        assert at and all(on_guarded_page(server.process.pid, address) for address in at), name
    assert scan_memory(server.process.pid, Needles(subkeys(bytes.fromhex(key))))[0] == {
        f"{name} as octets in memory" for name in subkeys(bytes.fromhex(key))}
    assert server.stop() == 0
    needles = Needles({"master key": bytes.fromhex(key), "passphrase": words.read_bytes()}
                      | subkeys(bytes.fromhex(key)))
    assert not scan_files([path for path in [*data.rglob("*"), server.log] if path.is_file()], needles)


def test_what_was_read_wrong(program: str, data: pathlib.Path, run: Callable, serve: Callable[..., Server]) -> None:
    """Lines with keys in them that cannot be taken are complained about without the keys."""
    key = os.urandom(16)
    lines = ['{"dev_eui":"0102030405060708","nwk_key":"%s"}', '{"dev_eui":"01","nwk_key":"%s"}', '{"nwk_kee":"%s"}',
             '{"nwk_key":"%s', '%s', '["%s"]']
    for line in lines:
        for text in (key.hex(), key.hex().upper()):
            done = run("device", "import", "-", "--data", data, input=line % text, code=None)
            assert done.returncode != 0
            assert not re.search(key.hex()[:12], done.stdout + done.stderr, re.I), done.stderr
    for flags in (["kek", "add", key.hex()], ["device", "add", f"--app-key={key.hex()}"], ["inspect", key.hex()]):
        done = run(*flags, "--data", data, input=key.hex() + "00", code=None)
        assert not re.search(key.hex()[:12], done.stderr, re.I), done.stderr
