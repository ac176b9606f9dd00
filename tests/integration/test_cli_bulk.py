"""`lorajs import` and `export`: each format there and back, what is refused row by row, that keys leave by agreement
alone, and a million devices within bounded memory."""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import pty
import stat
import subprocess
import time

import pytest

from conftest import DONE, FAILED, REFUSED, USAGE, device_line

KEY_A, KEY_B, KEY_C = ("5FD2C8A17E3904B6D1F08C4B92A7E35D", "8D3C1F6A5B7E90214FD2A6C3B8E17095",
                       "C47A02E6913BD85F6E20A9F4175CBD38")
EUI, JOIN_EUI = "70B3D57ED0000301", "70B3D57ED0000000"
# Of each format one device of LoRaWAN 1.0.3 with KEY_A, and what must be said beside it.
FILES = {
    "lorajs": (json.dumps({"dev_eui": EUI, "join_eui": JOIN_EUI, "lorawan_version": "1.0.3", "app_key": KEY_A,
                           "next_join_nonce": 5, "used_dev_nonces": [7, 4711]}), []),
    "tts-csv": (f"\ufeffid;dev_eui;join_eui;name;lorawan_version;app_key\r\nm;{EUI};{JOIN_EUI};'=1;MAC_V1_0_3;{KEY_A}\r\n",
                ["--fresh"]),
    "tts-json": (json.dumps({"ids": {"device_id": "m", "dev_eui": EUI, "join_eui": JOIN_EUI}, "supports_join": True,
                             "lorawan_version": "MAC_V1_0_3", "root_keys": {"app_key": {"key": KEY_A}},
                             "last_join_nonce": 4, "used_dev_nonces": [7, 4711]}), []),
    "ttjs": (f"{{\n  devEUI: '{EUI}',\n  ownerToken: 'C05E',\n  rootKeysExposed: true,\n  nonces: {{ nextJoinNonce: 5, "
             f"usedDevNonces: [ 7, 4711 ] }},\n  rootKeys: {{ appKey: '{KEY_A}' }}\n}}\n",
             ["--join-eui", JOIN_EUI, "--lorawan-version", "1.0.3"]),
    "chirpstack": (json.dumps({"device": {"devEui": EUI, "joinEui": JOIN_EUI, "name": "m"},
                               "deviceKeys": {"devEui": EUI, "nwkKey": KEY_A, "appKey": "0" * 32},
                               "deviceProfile": {"macVersion": "LORAWAN_1_0_3"}}), ["--next-join-nonce", "70000"]),
    "thingpark": (f"# by hand\r\nCREATE_OTAA,{EUI},,model,{JOIN_EUI},{KEY_A},,plan\r\n",
                  ["--lorawan-version", "1.0.3", "--fresh"]),
    "wanesy": (f"devEui,name,macVersion,activation,appEui,appKey,devNonceCounter\n{EUI},m,1.0.3,OTAA,{JOIN_EUI},{KEY_A},"
               "False\n", ["--fresh"]),
}
NONCES = {"lorajs", "tts-json", "ttjs"}  # have a place for them


def objects(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize("format", FILES)
def test_each_format_comes_in_and_goes_out(run, data, tmp_path, format):
    """As it begins, without being told whose it is; and what is exported is the device that came in."""
    text, more = FILES[format]
    [end] = objects(run("import", "-", "--data", data, "--json", *more, input=text).stdout)
    assert (end["format"], end["imported"], end["refused"], end["dry_run"]) == (format, 1, 0, False)
    assert end["without_nonces"] == (format not in NONCES) and end["exposed"] == (format == "ttjs")
    shown = json.loads(run("device", "show", EUI, "--data", data, "--json").stdout)
    assert (shown["join_eui"], shown["lorawan_version"], shown["keys"]) == (JOIN_EUI.lower(), "1.0.3", ["app_key"])
    assert shown["next_join_nonce"] == (5 if format in NONCES else 70000 if "70000" in more else 1)
    assert shown["used_dev_nonces"] == ([7, 4711] if format in NONCES else [])
    assert shown.get("exposed", False) == (format == "ttjs")

    flags = ["--lose-nonces"] if "70000" in more else []
    run("export", "--format", format, "--output", tmp_path / "out", EUI, "--clear-keys", *flags, "--data", data)
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o600
    out = (tmp_path / "out").read_text()
    assert KEY_A in out.upper() and EUI in out.upper()
    [end] = objects(run("import", tmp_path / "out", "--data", tmp_path / "other", "--json", *more).stdout)
    assert (end["format"], end["imported"]) == (format, 1)
    again = json.loads(run("device", "show", EUI, "--data", tmp_path / "other", "--json").stdout)
    assert {**again, "exposed": 0} == {**shown, "exposed": 0}


def test_no_key_leaves_without_being_asked(run, data, tmp_path):
    run("device", "import", "-", "--data", data, input=device_line(0x301, nwk_key=None, app_key=KEY_A, next_join_nonce=9))
    for format in FILES:
        run("export", "--format", format, "--output", tmp_path / format, "--all", "--data", data)
        assert KEY_A.lower() not in (tmp_path / format).read_text().lower()
        assert "301" in (tmp_path / format).read_text()
    assert "exposed" not in run("device", "list", "--data", data, "--json").stdout
    assert "devices with root keys" not in run("audit", "show", "--data", data).stdout
    run("export", "--format", "lorajs", "--output", tmp_path / "clear", "--all", "--clear-keys", "--data", data)
    assert json.loads(run("device", "list", "--data", data, "--json").stdout)["exposed"] is True
    assert "1 devices with root keys in clear, as lorajs" in run("audit", "show", "--data", data).stdout


def test_rows_are_refused_one_by_one(run, data, tmp_path):
    rows = [(1, "MAC_V1_0_3", KEY_A), (2, "MAC_V1_0_3", KEY_A), (3, "MAC_V1_0_3", "0" * 32),
            (4, "MAC_V1_0_3", "2B7E151628AED2A6ABF7158809CF4F3C"), (5, "MAC_V1_1", KEY_B), (6, "MAC_V1_0_3", KEY_C)]
    text = "dev_eui;join_eui;lorawan_version;app_key\n" + "".join(
        f"{eui:016x};{JOIN_EUI};{version};{key}\n" for eui, version, key in rows) + f"x{KEY_B};;;\n"
    for dry_run in (["--dry-run"], []):
        done = run("import", "-", "--data", data, "--fresh", "--json", *dry_run, input=text, code=REFUSED)
        *refused, end = objects(done.stdout)
        assert [(r["row"], r["line"], r["error"]) for r in refused] == [
            (2, 3, "EXISTS"), (3, 4, "WEAK"), (4, 5, "WEAK"), (5, 6, "INVAL"), (7, 8, "INVAL")]
        assert refused[0]["dev_eui"] == f"{2:016x}" and refused[-1]["dev_eui"] is None
        assert (end["imported"], end["refused"], end["without_nonces"]) == (2, 5, 2)
        assert not any(key.lower() in (done.stdout + done.stderr).lower() for _, _, key in rows)
        assert data.exists() == (not dry_run)
    done = run("import", "-", "--data", data, "--fresh", input=text, code=REFUSED)
    assert done.stderr.splitlines()[0].startswith("row 2, line 3: app_key: a row before this one has the same key (")
    assert done.stdout == "2 imported, 5 refused\n2 of them without nonces: the next JoinNonce is 1 by your word\n"
    lines = run("device", "list", "--data", data, "--json").stdout.splitlines()
    assert [json.loads(line)["dev_eui"] for line in lines] == [f"{1:016x}", f"{6:016x}"]


def test_what_is_there_is_not_replaced_unasked(run, data):
    row = "dev_eui;join_eui;lorawan_version;app_key\n" + EUI + f";{JOIN_EUI};MAC_V1_0_4;"
    run("import", "-", "--data", data, "--next-join-nonce", "500", input=row + KEY_A)
    done = run("import", "-", "--data", data, "--fresh", input=row + KEY_B, code=REFUSED)
    assert "--replace-keys" in done.stderr
    run("import", "-", "--data", data, "--fresh", "--replace-keys", input=row + KEY_B)
    shown = json.loads(run("device", "show", EUI, "--data", data, "--json").stdout)
    assert (shown["epoch"], shown["next_join_nonce"]) == (1, 500)  # which never goes back


def test_a_row_without_nonces_needs_somebodys_word(run, data):
    text, _ = FILES["tts-csv"]
    done = run("import", "-", "--data", data, input=text, code=REFUSED)
    assert "--fresh" in done.stderr and "--next-join-nonce" in done.stderr
    assert run("import", "-", "--fresh", "--next-join-nonce", "7", "--data", data, input=text, code=USAGE).stdout == ""


def test_whose_file_it_is_must_be_clear(run, data, tmp_path):
    done = run("import", "-", "--data", data, input="who knows\n", code=REFUSED)
    assert "--format: lorajs, tts-csv" in done.stderr and done.stdout == ""
    assert "header of wanesy" in run("import", "-", "--format", "wanesy", "--data", data, input="x\n", code=REFUSED).stderr
    run("import", tmp_path / "nowhere", "--data", data, code=FAILED)
    run("import", "-", "--format", "csv", "--data", data, code=USAGE)


def test_losses_are_told_and_two_of_them_agreed_to(run, data, tmp_path):
    lines = [device_line(0x301, nwk_key=None, app_key=KEY_A, next_join_nonce=9, as_id="as"),
             device_line(0x302, lorawan_version="1.1", nwk_key=KEY_B, app_key=KEY_C)]
    run("device", "import", "-", "--data", data, input="\n".join(lines))
    out = tmp_path / "out"

    def export(*flags, code=DONE):
        return run("export", "--output", out, "--data", data, "--json", *flags, code=code)

    [end] = objects(export("--format", "thingpark", "--all", "--dry-run").stdout)
    assert end == {"format": "thingpark", "exported": 2, "clear_keys": False, "dry_run": True,
                   "lost": {"nonces": 1, "join_euis": 0, "keys": 0, "settings": 1, "version": 2, "root_key": 1}}
    done = export("--format", "chirpstack", "--all", "--clear-keys", code=REFUSED)
    assert "1 devices have nonces, for which chirpstack has no place" in done.stderr and "--lose-nonces" in done.stderr
    assert "two" in export("--format", "wanesy", "--all", "--clear-keys", "--lose-nonces", code=REFUSED).stderr
    assert not out.exists() and "exposed" not in run("device", "list", "--data", data, "--json").stdout
    export("--format", "chirpstack", "--all", "--clear-keys", "--lose-nonces", "--block")
    assert all(json.loads(line)["state"] == "blocked" and json.loads(line)["exposed"]
               for line in run("device", "list", "--data", data, "--json").stdout.splitlines())
    assert "exists" in export("--format", "lorajs", "--all", code=FAILED).stderr.lower()


@pytest.mark.parametrize("flags, says", [
    (["--format", "ttjs", "--all"], "--output"), (["--output", "x", "--all"], "--format"),
    (["--format", "ttjs", "--output", "x"], "one of --all"), (["--format", "csv", "--output", "x", "--all"], "tts-csv"),
    (["--format", "ttjs", "--output", "x", "--all", "--match", "70"], "one of --all"),
    (["--format", "ttjs", "--output", "x", "--match", "7g"], "hexadecimal"),
    (["--format", "ttjs", "--output", "x", "--all", "--block"], "--clear-keys"),
    (["--format", "ttjs", "--output", "x", "--all", "--set", "a=b"], "takes nothing"),
    (["--format", "chirpstack", "--output", "x", "--all", "--set", "application_id="], "application_id")])
def test_wrong_words_of_an_export(run, data, flags, says):
    assert says in run("export", *flags, "--data", data, code=USAGE).stderr
    assert not data.exists()


def test_a_formula_is_no_formula_in_a_sheet(run, data, tmp_path):
    run("device", "import", "-", "--data", data, input=device_line(0x301))
    run("export", "--format", "tts-csv", "--output", tmp_path / "out", "--all", "--data", data,
        "--set", "frequency_plan_id==HYPERLINK(\"http://x\")", "--set", "lorawan_phy_version=@x")
    row = (tmp_path / "out").read_text().splitlines()[1]
    assert ";\"'=HYPERLINK(\"\"http://x\"\")\";" in row and ";'@x;" in row


def test_devices_are_found(run, data):
    lines = [device_line(0x70B3D57ED0000301), device_line(0x70B3D57ED0000400, join_eui="1" * 16, as_id="as.example"),
             device_line(0x70B3D57ED0000401, join_eui=None, join_euis=["2" * 16, "1" * 16])]
    run("device", "import", "-", "--data", data, input="\n".join(lines))

    def found(*flags):
        return [int(d["dev_eui"][-3:], 16) for d in objects(run("device", "list", "--json", "--data", data, *flags).stdout)]

    assert found() == [0x301, 0x400, 0x401]
    assert found("--match", "70b3d57ed00004") == [0x400, 0x401] and found("--match", "70B3D57ED0000401") == [0x401]
    assert found("--match", "8") == [] and found("--match", "7") == found()
    assert found("--join-eui", "1" * 16) == [0x400, 0x401] and found("--label", "as.example") == [0x400]
    assert found("--join-eui", "1" * 16, "--match", "70b3d57ed0000400") == [0x400]
    assert "without these flags" in run("device", "list", "--label", "nobody", "--data", data).stderr
    run("device", "list", "--match", "", "--data", data, code=USAGE)
    run("device", "list", "--match", "0" * 17, "--data", data, code=USAGE)


def test_a_terminal_sees_how_far_it_is(program, data, tmp_path):
    path, seen = tmp_path / "in", b""
    write_fleet(path, 600)
    master, slave = pty.openpty()
    process = subprocess.Popen([program, "import", path, "--data", data], stdout=subprocess.DEVNULL, stderr=slave)
    os.close(slave)
    try:
        while more := os.read(master, 65536):
            seen += more
    except OSError:  # the other end is closed
        pass
    os.close(master)
    assert process.wait(60) == DONE and b"0 refused" in seen
    assert seen.startswith(b"\r") and seen.endswith(b"\r\033[K")


# ---- a million ----------------------------------------------------------------------


def write_fleet(path: pathlib.Path, count: int) -> None:
    """The Things Stack's JSON: made-up devices with nonces, and keys of their own."""
    with open(path, "w") as file:
        for i in range(count):
            key = hashlib.blake2b(i.to_bytes(8, "big"), digest_size=16, key=b"made up").hexdigest()
            file.write(f'{{"ids":{{"device_id":"m{i}","dev_eui":"70B3D57E{i:08X}","join_eui":"70B3D57ED00000{i % 16:02X}"}},'
                       f'"lorawan_version":"MAC_V1_0_4","root_keys":{{"app_key":{{"key":"{key}"}}}},"last_join_nonce":3,'
                       f'"last_dev_nonce":{i % 1000}}}\n')


@pytest.mark.parametrize("count", [200, pytest.param(1_000_000, marks=[pytest.mark.long, pytest.mark.timeout(14400)])])
def test_a_fleet_within_bounded_memory(program, tmp_path, count):
    """Imported, listed, searched and exported, each within 256 MiB."""
    fleet, data, exported = tmp_path / "fleet", tmp_path / "data", tmp_path / "exported"
    write_fleet(fleet, count)

    def measured(what, *words):
        began = time.monotonic()
        with open(tmp_path / "stdout", "wb") as out, open(tmp_path / "stderr", "wb") as err:
            process = subprocess.Popen([program, *map(str, words), "--data", str(data)], stdin=subprocess.DEVNULL,
                                       stdout=out, stderr=err)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        spent = time.monotonic() - began
        assert process.returncode == DONE, (tmp_path / "stderr").read_text()[-1000:]
        print(f"{what}: {count} devices, {spent:.1f} s, {count / spent:.0f}/s, CPU {usage.ru_utime + usage.ru_stime:.1f} s, "
              f"peak {usage.ru_maxrss / 1024:.1f} MiB")
        assert usage.ru_maxrss < 256 * 1024
        return tmp_path / "stdout"

    def lines_of(path):
        with open(path, "rb") as file:
            return sum(1 for _ in file)

    assert f"{count} imported, 0 refused" in measured("import", "import", fleet).read_text()
    assert lines_of(measured("list", "device", "list", "--json")) == count
    assert lines_of(measured("search by DevEUI", "device", "list", "--json", "--match", "70b3d57e000000")) == min(count, 256)
    assert lines_of(measured("search by JoinEUI", "device", "list", "--json", "--join-eui",
                             "70b3d57ed0000007")) == len(range(7, count, 16))
    measured("export without keys", "export", "--format", "tts-csv", "--all", "--output", tmp_path / "inventory")
    assert lines_of(tmp_path / "inventory") == count + 1
    measured("export with keys", "export", "--format", "tts-json", "--all", "--clear-keys", "--output", exported)
    with open(fleet) as before, open(exported) as after:
        for one, other in zip(before, after, strict=True):
            was, now = json.loads(one), json.loads(other)
            assert was["ids"]["dev_eui"] == now["ids"]["dev_eui"] and was["last_dev_nonce"] == now["last_dev_nonce"]
            assert was["root_keys"]["app_key"]["key"].upper() == now["root_keys"]["app_key"]["key"]
            assert was["last_join_nonce"] == now["last_join_nonce"]
