"""`lorajs device`, `kek` and `key`: good and bad input, exit codes, JSON, and no key ever shown."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import pty
import re
import resource
import select
import shutil
import signal
import stat
import subprocess
import threading
import time
import tty

import pytest

from conftest import DONE, FAILED, PATIENCE, REFUSED, USAGE, device_line
from test_backup import killer, memory  # noqa: F401: fixtures

MARKER = "c0ffee5ec2e7a0b1d2f3e4051627384f"
EUI = "0102030405060708"
PIPE_SIZE = 1 << 16


@pytest.fixture
def lorajs(run, data):
    """run(), over the data directory."""
    return lambda *args, **more: run(*args, "--data", data, **more)


def objects(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def key() -> str:
    return os.urandom(16).hex()


# ---- import -------------------------------------------------------------------------


def test_the_example_can_be_imported(lorajs, run):
    example = run("device", "import", "--example").stdout
    lines = objects(example)
    assert {line["lorawan_version"] for line in lines} >= {"1.0.0", "1.0.4", "1.1"}
    done = lorajs("device", "import", "-", "--allow-weak-keys", input=example)
    assert done.stdout == f"{len(lines)} imported, 0 refused\n"
    shown = {d["dev_eui"]: d for d in objects(lorajs("device", "list", "--json").stdout)}
    for line in lines:
        device = shown[line["dev_eui"]]
        for member in line.keys() & device.keys():
            assert device[member] == line[member] or member in ("used_dev_nonces",), member


def test_keys_of_the_example_are_weak(lorajs, run):
    example = run("device", "import", "--example").stdout
    done = lorajs("device", "import", "-", input=example, code=REFUSED)
    assert done.stderr.count("--allow-weak-keys") == len(example.splitlines())
    assert done.stdout.startswith("0 imported")


def test_bad_lines_are_told_by_number_and_good_ones_are_imported(lorajs):
    lines = [device_line(1), "{", device_line(2, lorawan_version="9.9", nwk_key=MARKER), "", device_line(3, nwk_key=None),
             device_line(4, nwk_keyy=MARKER), device_line(5, nwk_key=MARKER[:-1]), device_line(6, nwk_key=MARKER + "zz"),
             device_line(7), device_line(8, last_dev_nonce=65536), device_line(9, nwk_key="00" * 16), "[]", "\x00\xff",
             device_line(10).replace('"1.0.3"', '"1.0.3","lorawan_version":"1.0.3"')]
    done = lorajs("device", "import", "-", input="\n".join(lines), code=REFUSED)
    assert done.stdout == "2 imported, 11 refused\n"
    told = re.findall(r"^line (\d+): .+$", done.stderr, re.M)
    assert [int(n) for n in told] == [2, 3, 5, 6, 7, 8, 10, 11, 12, 13, 14]
    assert "line 3: lorawan_version:" in done.stderr and "line 11: nwk_key:" in done.stderr
    assert MARKER[:8] not in done.stdout + done.stderr
    assert [d["dev_eui"] for d in objects(lorajs("device", "list", "--json").stdout)] == [f"{1:016x}", f"{7:016x}"]


def test_import_reports_as_json(lorajs):
    done = lorajs("device", "import", "-", "--json", code=REFUSED,
                  input=device_line(1) + "\n" + device_line(2, nwk_key="zz" + MARKER[2:]) + "\n")
    refused, total = objects(done.stdout)
    assert refused["line"] == 2 and refused["result"] == "refused" and refused["reason"].startswith("nwk_key")
    assert total == {"imported": 1, "refused": 1, "dry_run": False}
    assert done.stderr == "" and MARKER[2:] not in done.stdout


def test_import_again_is_no_change(lorajs):
    line = device_line(1, next_join_nonce=7)
    lorajs("device", "import", "-", input=line)
    before = lorajs("device", "show", f"{1:016x}", "--json").stdout
    lorajs("device", "import", "-", input=line)
    assert lorajs("device", "show", f"{1:016x}", "--json").stdout == before
    lorajs("device", "import", "-", input=line.replace('"next_join_nonce": 7', '"next_join_nonce": 3'))
    assert json.loads(lorajs("device", "show", f"{1:016x}", "--json").stdout)["next_join_nonce"] == 7


def test_other_keys_need_replace_keys(lorajs):
    lorajs("device", "import", "-", input=device_line(1))
    done = lorajs("device", "import", "-", input=device_line(1), code=REFUSED)
    assert "--replace-keys" in done.stderr and "line 1: dev_eui:" in done.stderr
    lorajs("device", "import", "-", "--replace-keys", input=device_line(1))
    assert json.loads(lorajs("device", "show", f"{1:016x}", "--json").stdout)["epoch"] > 0


def test_dry_run_changes_nothing(lorajs, data):
    done = lorajs("device", "import", "-", "--dry-run", input=device_line(1) + "\n{}\n" + device_line(1), code=REFUSED)
    assert done.stdout == "1 would be imported, 2 refused\n"  # the second of one DevEUI has other keys
    assert not data.exists()
    lorajs("device", "import", "-", input=device_line(1))
    before = lorajs("device", "list", "--json").stdout
    done = lorajs("device", "import", "-", "--dry-run", input=device_line(2) + "\n" + device_line(1), code=REFUSED)
    assert done.stdout == "1 would be imported, 1 refused\n" and "line 2: dev_eui:" in done.stderr
    assert lorajs("device", "list", "--json").stdout == before


def test_several_join_euis(lorajs):
    euis = ["70b3d57ed0000000", "70b3d57ed0000001", "70b3d57ed0000002", "70b3d57ed0000003"]
    line = device_line(1, join_eui=None, join_euis=euis)
    lorajs("device", "import", "-", "--dry-run", input=line)
    lorajs("device", "import", "-", input=line)
    shown = lorajs("device", "show", f"{1:016x}").stdout
    assert re.findall(r"^JoinEUI +([0-9a-f]{16})", shown, re.M) == euis


def test_import_from_a_file_with_lines_of_all_kinds(lorajs, tmp_path):
    file = tmp_path / "devices.jsonl"
    long = device_line(1, used_dev_nonces=list(range(65536)), lorawan_version="1.0.2")
    too_long = device_line(2) + " " * (3 << 20)
    file.write_bytes("\r\n".join([long, too_long, "  ", device_line(3)]).encode())
    done = lorajs("device", "import", file, code=REFUSED)
    assert done.stdout == "2 imported, 1 refused\n" and "line 2: line: longer than 1 MiB" in done.stderr
    assert "65536 DevNonces used" in lorajs("device", "show", f"{1:016x}").stdout
    assert "no such file" in lorajs("device", "import", tmp_path / "nowhere", code=FAILED).stderr.lower()
    assert lorajs("device", "import", tmp_path, code=FAILED).stderr != ""


def killed(program, killer, words, **env):  # noqa: F811
    return subprocess.run([program, *map(str, words)], capture_output=True, timeout=PATIENCE, env={
        **os.environ, "LD_PRELOAD": killer, "KILL_SYNCS": "1", "ASAN_OPTIONS": "verify_asan_link_order=0:detect_leaks=0", **env})


def test_many_devices_are_written_with_one_commit(program, killer, memory):  # noqa: F811
    def syncs(n: int) -> int:
        (memory / "lines").write_text("\n".join(device_line(i) for i in range(1, n + 1)))
        done = killed(program, killer, ["device", "import", memory / "lines", "--data", memory / f"data-{n}"],
                      COUNT_TO=str(memory / "count"))
        assert done.stdout.decode() == f"{n} imported, 0 refused\n"
        return int((memory / "count").read_text())

    assert syncs(640) < syncs(64) + 60  # nine commits more, and what copies the log back


def test_lines_are_told_of_in_their_order(lorajs):
    """Whatever is written together: what is refused is refused by itself, and each line sees those before it."""
    lines = [device_line(i, nwk_key=MARKER if i % 2 else None) for i in range(1, 141)]  # every other has no key
    lines[80] = device_line(81, nwk_key="00" * 16)
    lines[82] = device_line(5)  # other keys than before
    lines[84] = lines[4]
    done = lorajs("device", "import", "-", input="\n".join(lines), code=REFUSED)
    assert [int(n) for n in re.findall(r"^line (\d+): ", done.stderr, re.M)] == sorted([*range(2, 141, 2), 81, 83])
    assert "line 81: nwk_key: so regular" in done.stderr and "line 83: dev_eui: the device is there" in done.stderr
    assert done.stdout == "68 imported, 72 refused\n" and len(objects(lorajs("device", "list", "--json").stdout)) == 67


def test_an_import_that_was_killed_goes_on(run, program, killer, memory):  # noqa: F811
    """Before its first sync, then its second, and so on: what is there is whole, and the same import brings the rest."""
    def devices() -> int:
        return len(objects(run("device", "list", "--data", data, "--json").stdout))

    lines, seen, code, at = memory / "lines", set(), -9, 0
    lines.write_text("\n".join(device_line(i) for i in range(1, 141)))  # three commits
    run("account", "add", "acme", "--data", memory / "begun")
    while code == -9:
        data = shutil.copytree(memory / "begun", memory / f"data-{(at := at + 1)}")
        code = killed(program, killer, ["device", "import", lines, "--data", data], KILL_AT=str(at)).returncode
        seen.add(devices())
        assert run("device", "import", lines, "--data", data).stdout == "140 imported, 0 refused\n" and devices() == 140
        run("audit", "verify", "--data", data)
    assert code == DONE and seen == {0, 64, 128, 140}


def test_an_import_that_meets_a_full_disk_ends_with_it(run, program, data, tmp_path):
    """Of the lines that were written together the first is told of, and those before are there."""
    def full():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100 << 10, 100 << 10))

    (tmp_path / "lines").write_text("\n".join(device_line(i) for i in range(1, 301)))
    run("account", "add", "acme", "--data", data)
    done = subprocess.run([program, "device", "import", tmp_path / "lines", "--data", data], capture_output=True,
                          timeout=PATIENCE, preexec_fn=full,
                          env=os.environ | {"LLVM_PROFILE_FILE": os.devnull})  # what is measured of tests meets it too
    [number] = map(int, re.findall(r"lorajs: line (\d+): the store failed[^\n]*\n", done.stderr.decode()))
    assert done.stderr.count(b"\n") == 1 and number > 64 and number % 64 == 1
    assert (done.returncode, done.stdout.decode()) == (FAILED, f"{number - 1} imported, 0 refused\n")
    assert len(objects(run("device", "list", "--data", data, "--json").stdout)) == number - 1
    assert run("device", "import", tmp_path / "lines", "--data", data).stdout == "300 imported, 0 refused\n"


def test_lines_that_come_one_by_one_are_not_waited_for(lorajs, program, data):
    with subprocess.Popen([program, "device", "import", "-", "--data", str(data)], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as process:
        for i in 1, 2:
            process.stdin.write(device_line(i).encode() + b"\n")
            process.stdin.flush()
            end = time.monotonic() + PATIENCE
            while lorajs("device", "show", f"{i:016x}", code=None).returncode:
                assert time.monotonic() < end and process.poll() is None
        assert process.communicate()[0] == b"2 imported, 0 refused\n"


def test_lines_are_not_held_up_by_the_beginning_of_another(lorajs, program, data):
    """Of whoever writes through a buffer, which ends anywhere: here what a pipe takes at once ends with a line."""
    lines = [device_line(i).encode() + b"\n" for i in range(1, 128)]  # a commit, and one less than another takes
    lines[0] = lines[0].rjust(PIPE_SIZE - sum(map(len, lines[1:])))
    last = device_line(128).encode()
    with subprocess.Popen([program, "device", "import", "-", "--data", str(data)], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as process:
        assert fcntl.fcntl(process.stdin, fcntl.F_SETPIPE_SZ, PIPE_SIZE) == PIPE_SIZE
        process.stdin.write(b"".join(lines) + last[:9])
        process.stdin.flush()
        end = time.monotonic() + PATIENCE
        while lorajs("device", "show", f"{127:016x}", code=None).returncode:
            assert time.monotonic() < end and process.poll() is None
        assert process.communicate(last[9:])[0] == b"128 imported, 0 refused\n"


def test_lines_before_one_that_cannot_be_read(lorajs, program, data):
    """They are imported, and what is told is why the next could not be read, whatever befell since."""
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    os.write(theirs, "".join(device_line(i) + "\n" for i in range(1, 4)).encode())
    os.close(theirs)
    done = subprocess.run([program, "device", "import", "-", "--data", str(data)], stdin=ours, capture_output=True,
                          timeout=PATIENCE)
    os.close(ours)
    assert (done.returncode, done.stdout) == (FAILED, b"3 imported, 0 refused\n")
    assert done.stderr.decode() == f"lorajs: standard input: {os.strerror(errno.EIO)}\n"
    assert len(objects(lorajs("device", "list", "--json").stdout)) == 3


def test_progress_is_for_terminals_only(lorajs, program, data):
    lines = "\n".join(device_line(i) for i in range(1, 50)).encode()
    done = lorajs("device", "import", "-", input=lines)
    assert done.stderr == "" and "\r" not in done.stdout
    ours, theirs = pty.openpty()
    with subprocess.Popen([program, "device", "import", "-", "--data", str(data)], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, stderr=theirs) as process:
        os.close(theirs)
        process.stdin.write(lines + b"\n")
        process.stdin.flush()
        end = time.monotonic() + PATIENCE
        while not select.select([ours], [], [], 0.1)[0]:  # progress is shown five times a second at most, after a line
            assert time.monotonic() < end and process.poll() is None
            process.stdin.write(b"\n")
            process.stdin.flush()
        process.stdin.write(device_line(99).encode())
        assert process.communicate()[0] == b"50 imported, 0 refused\n" and process.returncode == DONE
    shown = ""
    try:
        while piece := os.read(ours, 65536):
            shown += piece.decode()
    except OSError:  # the other end is closed
        pass
    os.close(ours)
    assert re.search(r"\r\d+ lines, 0 refused, \d+ KiB", shown) and shown.endswith("\r\x1b[K")


def test_a_key_typed_at_a_terminal_is_not_echoed(program, data):
    ours, theirs = pty.openpty()
    process = subprocess.Popen([program, "kek", "add", "ns", "--data", str(data)], stdin=theirs, stdout=theirs,
                               stderr=theirs, start_new_session=True)
    os.close(theirs)
    shown = b""
    while b"not shown" not in shown:
        shown += os.read(ours, 1024)
    os.write(ours, MARKER.encode() + b"\n")
    assert process.wait(60) == DONE
    while b"added" not in shown:
        shown += os.read(ours, 1024)
    os.close(ours)
    assert MARKER.encode() not in shown


# ---- add ----------------------------------------------------------------------------


def test_add_reads_keys_from_standard_input_or_a_file(lorajs, tmp_path):
    lorajs("device", "add", "--dev-eui", EUI, "--join-eui", "70b3d57ed0000000", "--lorawan-version", "1.0.3",
           input=f"# root key\nAppKey {MARKER}\n")
    file = tmp_path / "keys"
    file.write_text(f"NwkKey {key()}\n\n  appkey   {key()}  \r\nGenAppKey {key()}")
    done = lorajs("device", "add", "--dev-eui=0102030405060709", "--join-eui", "70b3d57ed0000000", "--join-eui",
                  "70B3D57ED0000001", "--lorawan-version", "1.1", "--keys", file, "--json", "--last-dev-nonce", 41,
                  "--next-join-nonce", 5, "--home-net-id", "000013", "--home-ns-id", "70b3d57ed0000a01", "--as-id",
                  "as.example", "--ns-kek-label", "ns", "--as-kek-label", "as", "--require-1-1",
                  "--x25519-public-key", "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a")
    assert json.loads(done.stdout) == {"dev_eui": "0102030405060709", "result": "added"}
    shown = json.loads(lorajs("device", "show", "0102030405060709", "--json").stdout)
    assert shown["next_join_nonce"] == 5 and shown["home_net_id"] == "000013" and shown["as_id"] == "as.example"
    assert shown["ns_kek_label"] == "ns" and shown["require_1_1"] is True
    assert "last DevNonce 41" in lorajs("device", "show", "0102030405060709").stdout


ADD = ["device", "add", "--dev-eui", EUI, "--join-eui", "70b3d57ed0000000", "--lorawan-version", "1.0.3"]


@pytest.mark.parametrize("keys, says", [
    ("", "no root key"), (f"AppKey {MARKER[:-2]}", "32 hexadecimal"), (f"AppKey {MARKER[:-1]}z", "32 hexadecimal"),
    (f"{MARKER}", "does not begin with the name"), (f"AppKey {MARKER}\nAppKey {MARKER}", "twice"),
    (f"Key {MARKER}", "does not begin"), (f"AppKey {'00' * 16}", "so regular"), (f"GenAppKey {MARKER}", "no root key"),
    (f"AppKey {MARKER} {MARKER}", "32 hexadecimal"), ("AppKey" + "x" * 20000, "more than")])
def test_add_refuses_bad_keys_and_shows_none(lorajs, keys, says):
    done = lorajs(*ADD, input=keys, code=REFUSED)
    assert says in done.stderr and MARKER[:16] not in done.stderr + done.stdout
    lorajs(*ADD, input=f"AppKey {key()}")


@pytest.mark.parametrize("flags, says", [
    (["--dev-eui", "12"], "--dev-eui is 16"), (["--lorawan-version", "1.2"], "1.0.0|1.0.1"),
    (["--home-net-id", "13"], "--home-net-id is 6"), (["--x25519-public-key", "00"], "64 hexadecimal"),
    (["--as-id", "x" * 200], "longer than"), (["--next-join-nonce", "0"], "1 to 16777216"),
    (["--join-eui", "1" * 16] * 4, "at most 4")])
def test_add_refuses_bad_words(lorajs, data, flags, says):
    assert says in lorajs(*ADD, *flags, input=f"AppKey {key()}", code=USAGE).stderr
    assert not data.exists()


def test_add_needs_its_flags(lorajs):
    assert "needs --dev-eui" in lorajs("device", "add", input="", code=USAGE).stderr


def test_add_of_1_1_needs_both_keys(lorajs):
    done = lorajs(*ADD[:-1], "1.1", input=f"AppKey {key()}", code=REFUSED)
    assert "NwkKey and AppKey" in done.stderr


# ---- show, list, and changes of state -------------------------------------------------


def test_states(lorajs):
    lorajs("device", "import", "-", input=device_line(1, nwk_key=MARKER) + "\n" + device_line(2))
    one = f"{1:016x}"

    def state():
        return json.loads(lorajs("device", "show", one, "--json").stdout)["state"].lower()

    assert state() == "fresh"
    assert lorajs("device", "block", one).stdout == f"{one}: blocked\n"
    assert state() == "blocked"
    assert "state does not allow" in lorajs("device", "block", one, code=REFUSED).stderr
    assert objects(lorajs("device", "unblock", one, "--json").stdout) == [{"dev_eui": one, "result": "unblocked"}]
    assert state() == "fresh"
    lorajs("device", "unblock", one, code=REFUSED)
    lorajs("device", "reset-nonces", one, f"{2:016x}")
    lorajs("device", "remove", one)
    assert state() == "removed"
    assert one not in lorajs("device", "list").stdout and one in lorajs("device", "list", "--all").stdout
    lorajs("device", "remove", one, code=REFUSED)
    lorajs("device", "import", "-", input=device_line(1))
    assert state() == "fresh"
    assert MARKER not in lorajs("device", "show", one).stdout


@pytest.mark.parametrize("command", ["show", "block", "unblock", "reset-nonces", "remove"])
def test_unknown_devices(lorajs, command):
    lorajs("device", "import", "-", input=device_line(1))
    done = lorajs("device", command, "ffffffffffffffff", code=REFUSED)
    assert "ffffffffffffffff: no such device" in done.stderr and "device list" in done.stderr
    # one wrong word, and nothing is done to the others
    lorajs("device", command, f"{1:016x}", "nonsense", code=USAGE)
    assert json.loads(lorajs("device", "show", f"{1:016x}", "--json").stdout)["state"].lower() == "fresh"


def test_an_empty_list(lorajs):
    lorajs("kek", "add", "ns", input=key())
    assert lorajs("device", "list", "--json").stdout == ""
    done = lorajs("device", "list")
    assert done.stdout == "" and "device import --example" in done.stderr


# ---- kek and key ----------------------------------------------------------------------


@pytest.mark.parametrize("octets", [16, 24, 32])
def test_keks(lorajs, octets):
    secret = os.urandom(octets).hex()
    assert lorajs("kek", "add", "ns:000013", input=secret + "\n").stdout == "ns:000013: added\n"
    lorajs("kek", "add", "ns:000013", input=secret.upper())  # the same again
    done = lorajs("kek", "add", "ns:000013", input=key(), code=REFUSED)
    assert "--replace" in done.stderr
    lorajs("kek", "add", "ns:000013", "--replace", input=secret)
    assert objects(lorajs("kek", "list", "--json").stdout) == [
        {"label": "ns:000013", "bits": 8 * octets, "retired": False, "next": []}]
    assert f"AES-{8 * octets}" in lorajs("kek", "list").stdout
    assert objects(lorajs("kek", "remove", "ns:000013", "--json").stdout) == [
        {"label": "ns:000013", "result": "removed"}]
    assert "no such KEK" in lorajs("kek", "remove", "ns:000013", code=REFUSED).stderr
    assert "kek add" in lorajs("kek", "list").stderr


def test_kek_from_a_file_and_strange_labels(lorajs, run, tmp_path):
    run("key", "generate", "--length", 32, "--output", tmp_path / "key")
    label = 'a "quoted" \\ label, \u00e9'
    lorajs("kek", "add", label, "--key-file", tmp_path / "key")
    assert objects(lorajs("kek", "list", "--json").stdout) == [
        {"label": label, "bits": 256, "retired": False, "next": []}]
    for bad in ["", "x" * 128, "a\nb", "\x7f"]:
        assert "label" in lorajs("kek", "add", bad, input=key(), code=USAGE).stderr
    done = lorajs("kek", "add", "ok", "--key-file", tmp_path / "nowhere", code=FAILED)
    assert "nowhere" in done.stderr


@pytest.mark.parametrize("text", ["", "00", MARKER[:-1], MARKER + "0", "zz" * 16, MARKER * 3, f"{MARKER}\n{MARKER}",
                                  "x" * 5000])
def test_bad_keks(lorajs, text, data):
    done = lorajs("kek", "add", "ns", input=text, code=REFUSED)
    assert done.stderr and MARKER[:16] not in done.stderr + done.stdout and not data.exists()


def test_weak_keks(lorajs):
    done = lorajs("kek", "add", "ns", input="000102030405060708090a0b0c0d0e0f", code=REFUSED)
    assert "--allow-weak-keys" in done.stderr and "key generate" in done.stderr
    lorajs("kek", "add", "ns", "--allow-weak-keys", input="000102030405060708090a0b0c0d0e0f")


@pytest.mark.parametrize("octets", [16, 24, 32])
def test_key_generate(run, tmp_path, octets):
    one, two = run("key", "generate", "--length", octets).stdout, run("key", "generate", "--length", octets).stdout
    assert re.fullmatch(rf"[0-9a-f]{{{2 * octets}}}\n", one) and one != two
    file = tmp_path / "key"
    assert run("key", "generate", "--length", octets, "--output", file).stdout == ""
    assert stat.S_IMODE(file.stat().st_mode) == 0o600 and len(file.read_text()) == 2 * octets + 1
    before = file.read_text()
    assert "exists" in run("key", "generate", "--output", file, code=FAILED).stderr
    assert file.read_text() == before


# ---- no key anywhere ----------------------------------------------------------------------


def test_no_key_is_shown_or_stored(lorajs, data):
    kek, keys = "9f" + MARKER[2:], [MARKER, "5a" + MARKER[2:], "6b" + MARKER[2:], "7c" + MARKER[2:]]
    out = ""
    for args, text in [
            (["kek", "add", "ns"], kek), (["kek", "list"], ""), (["kek", "list", "--json"], ""),
            (["device", "import", "-"], device_line(1, lorawan_version="1.1", nwk_key=keys[0], app_key=keys[1],
                                                    gen_app_key=keys[2], rekey_key=keys[3])),
            (["device", "import", "-"], device_line(2, nwk_key=keys[0]) + "\n{" + keys[0]),
            (["device", "list"], ""), (["device", "list", "--json"], ""), (["device", "show", f"{1:016x}"], ""),
            (["device", "show", f"{1:016x}", "--json"], ""), (["why", f"{1:016x}"], "")]:
        done = lorajs(*args, input=text, code=None)
        assert done.returncode in (DONE, REFUSED), done.stderr
        out += done.stdout + done.stderr
    stored = b"".join(p.read_bytes() for p in data.iterdir())
    for secret in [kek, *keys]:
        for text in (secret, secret.upper(), secret[:16], secret[16:]):
            assert text not in out
            assert text.encode() not in stored
        for raw in (bytes.fromhex(secret), bytes.fromhex(secret)[:8], bytes.fromhex(secret)[8:]):
            assert raw not in stored
    # the scan finds what is there
    assert b"SQLite format 3" in stored and bytes.fromhex((data / "master.key").read_text().strip()) not in stored


# ---- beside a running daemon ------------------------------------------------------------------


def test_import_while_the_daemon_runs(lorajs, server, data):
    """Devices come in by several imports at once, and each is known to the daemon at once."""
    def importer(n: int) -> None:
        lines = "\n".join(device_line(n * 1000 + i, nwk_key=MARKER) for i in range(20))
        lorajs("device", "import", "-", input=lines)

    threads = [threading.Thread(target=importer, args=(n,)) for n in range(1, 5)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    lorajs("kek", "add", "later", input=key())
    assert len(objects(lorajs("device", "list", "--json").stdout)) == 80

    request = {"ProtocolVersion": "1.0", "SenderID": "000013", "ReceiverID": "70b3d57ed0000000", "TransactionID": 1,
               "MessageType": "JoinReq", "MACVersion": "1.0.3", "DevAddr": "01020304", "DLSettings": "00", "RxDelay": 1}
    dev_eui = 2005
    phy = b"\0" + bytes.fromhex("70b3d57ed0000000")[::-1] + dev_eui.to_bytes(8, "little") + b"\x01\x00" + b"\0\0\0\0"
    answer = server.ask({**request, "DevEUI": f"{dev_eui:016x}", "PHYPayload": phy.hex()})
    assert answer["Result"]["ResultCode"] == "MICFailed"  # it is known; a zero MIC is wrong
    answer = server.ask({**request, "DevEUI": "00000000000003e7",
                         "PHYPayload": phy.hex().replace(dev_eui.to_bytes(8, "little").hex(), (999).to_bytes(8, "little").hex())})
    assert answer["Result"]["ResultCode"] == "UnknownDevEUI"
    lorajs("device", "block", f"{dev_eui:016x}")
    answer = server.ask({**request, "DevEUI": f"{dev_eui:016x}", "PHYPayload": phy.hex()})
    assert answer["Result"]["ResultCode"] == "ActivationDisallowed"
