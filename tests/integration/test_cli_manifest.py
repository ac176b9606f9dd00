"""`lorajs manifest check`: manifests of makers of our own, forged ones entry by entry, and the genuine ones where they
are."""

from __future__ import annotations

import itertools
import json
import os
import pathlib
import pty
import resource
import subprocess
import sys

import pytest

from conftest import DONE, FAILED, REFUSED, ROOT, USAGE

sys.path.insert(0, str(ROOT / "tests"))
from manifests import JOIN_EUI, Chip, Maker, pem, point, text_of, write_many  # noqa: E402

VECTORS = json.loads((ROOT / "tests/vectors/manifests.json").read_text())


@pytest.fixture(scope="module")
def maker() -> Maker:
    return Maker()


@pytest.fixture
def check(run, maker, tmp_path):
    """check(text, *flags): as `run`, trusting the maker, or who is given with `trusted`."""

    def checker(text, *flags, trusted=None, **more):
        signer, root = trusted or (pem(maker.log), pem(maker.root))
        (tmp_path / "signer.pem").write_text(signer)
        (tmp_path / "root.pem").write_text(root)
        return run("manifest", "check", "-", "--signer", tmp_path / "signer.pem", "--root", tmp_path / "root.pem", *flags,
                   input=text, **more)

    return checker


def objects(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def test_what_is_good(check, maker):
    chips = [Chip(maker, 0x10 + i, kind) for i, kind in enumerate("BCM")]
    text = text_of([maker.entry(maker.payload(chip)) for chip in chips] + [maker.light(1)])
    *entries, end = objects(check(text, "--json").stdout)
    assert end == {"entries": 4, "good": 4, "refused": 0}
    for i, (entry, chip) in enumerate(zip(entries, chips)):
        assert entry == {
            "index": i, "offset": entry["offset"], "verdict": "good", "number": 0, "unique_id": chip.unique_id,
            "dev_eui": None if i == 2 else chip.dev_eui, "join_eui": JOIN_EUI, "model": "ATECC608A",
            "part_number": "ATECC608A-MAHT3", "group_id": "TEST0000GROUP000", "timestamp": "2019-09-20T16:18:45.390Z",
            "version": 1, "suffix": "27", "public_key": point(chip.key).hex(), "signer": maker.kid}
        assert text[entry["offset"]] == "{"
    assert (entries[3]["version"], entries[3]["public_key"], entries[3]["join_eui"]) == (2, None, None)
    table = check(text).stdout.splitlines()
    assert table[0].split() == [chips[0].unique_id, chips[0].dev_eui.upper(), JOIN_EUI.upper(), "ATECC608A-MAHT3",
                                "2019-09-20T16:18:45.390Z"]
    assert table[2].split()[1] == "-" and table[-1] == "4 entries: 4 good, 0 refused"


def test_what_is_forged_is_refused_entry_by_entry(check):
    rows = [row for row in VECTORS["entries"] if row["verdict"] != "good"]
    text = "[" + ",\n".join(row["entry"] for row in rows) + "]"
    done = check(text, "--json", trusted=(VECTORS["signer"], VECTORS["root"]), code=REFUSED)
    *entries, end = objects(done.stdout)
    assert {row["what"]: entry["verdict"] for row, entry in zip(rows, entries)} == {
        row["what"]: row["verdict"] for row in rows}
    assert end == {"entries": len(rows), "good": 0, "refused": len(rows)} and len(rows) > 80
    assert all(entry["reason"] and entry["number"] > 0 and "public_key" not in entry for entry in entries)
    said = {row["what"]: entry["detail"] for row, entry in zip(rows, entries)}
    assert "deep" in said["deep nesting"] and "number" in said["a huge number that is signed"]
    table = check(text, trusted=(VECTORS["signer"], VECTORS["root"]), code=REFUSED).stdout
    assert table.count("refused: ") == len(rows)
    assert "refused: it is no JSON object, or not strictly one [a number out of range] (entry " in table


@pytest.mark.parametrize("row", VECTORS["manifests"], ids=lambda row: row["what"])
def test_entries_beside_each_other(check, row):
    flags = ["--join-eui", row["join_eui"]] if row["join_eui"] else []
    done = check(row["entries"], "--json", *flags, trusted=(VECTORS["signer"], VECTORS["root"]), code=None)
    assert [entry["verdict"] for entry in objects(done.stdout)[:-1]] == row["verdicts"]
    assert done.returncode == (REFUSED if {*row["verdicts"]} - {"good"} else DONE)


def test_all_or_nothing(check, maker):
    good, bad = [maker.light(i) for i in range(3)], maker.light(9) | {"signature": "AA"}
    assert check(text_of(good), "--all-or-nothing").stdout == check(text_of(good)).stdout
    done = check(text_of([*good, bad, *good]), "--all-or-nothing", code=REFUSED)
    assert done.stdout == "" and "refused: the signature is not" in done.stderr and "(entry 3," in done.stderr
    assert check(text_of(good)[:-3], "--all-or-nothing", code=REFUSED).stdout == ""
    assert check(text_of(good)[:-3], code=REFUSED).stdout.endswith("2 entries: 2 good, 0 refused\n")


def test_nobody_is_trusted_by_himself(run, maker, tmp_path):
    text = text_of([maker.good(1)])
    assert "kid names nobody" in run("manifest", "check", "-", input=text, code=REFUSED).stdout
    (tmp_path / "signer.der").write_bytes(maker.log)
    said = run("manifest", "check", "-", "--signer", tmp_path / "signer.der", input=text, code=REFUSED).stdout
    assert "of no root that is trusted" in said


def test_a_root_with_another_key(check, maker, tmp_path):
    """Both are trusted, in whichever order."""
    (tmp_path / "elder.pem").write_text(pem(Maker().root))
    text = text_of([maker.good(1)])
    assert "is not signed by the next one" in check(text, trusted=(pem(maker.log), pem(Maker().root)), code=REFUSED).stdout
    assert check(text, "--root", tmp_path / "elder.pem").stdout.endswith("1 entries: 1 good, 0 refused\n")


def test_files_and_flags(run, check, maker, tmp_path):
    assert "cut short" in check("[{}", code=REFUSED).stderr
    assert "from octet 0 on" in check("{}", code=REFUSED).stderr
    assert "from octet 3 on" in check("[] x", code=REFUSED).stderr
    assert "No such file" in run("manifest", "check", tmp_path / "none", code=FAILED).stderr
    (tmp_path / "no.pem").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    (tmp_path / "a.json").write_text("[]")
    assert "not certificates of the kind" in run("manifest", "check", tmp_path / "a.json", "--signer", tmp_path / "no.pem",
                                        code=REFUSED).stderr
    (tmp_path / "log.pem").write_text(pem(maker.log))
    assert "of a CA" in run("manifest", "check", tmp_path / "a.json", "--root", tmp_path / "log.pem", code=REFUSED).stderr
    run("manifest", "check", tmp_path / "a.json", "--join-eui", "12", code=USAGE)
    twice = ("--signer", tmp_path / "log.pem") * 2
    assert run("manifest", "check", tmp_path / "a.json", *twice).stdout == "0 entries: 0 good, 0 refused\n"


def test_a_terminal_sees_how_far_it_is(program, maker, tmp_path):
    (tmp_path / "a.json").write_text(text_of([{}] * 5))
    ours, theirs = pty.openpty()
    with subprocess.Popen([program, "manifest", "check", tmp_path / "a.json"], stdout=subprocess.PIPE, stderr=theirs) as done:
        os.close(theirs)
        seen = b""
        while True:
            try:
                more = os.read(ours, 4096)
            except OSError:  # the other end is closed
                break
            seen += more
        out = done.stdout.read()
    os.close(ours)
    assert done.returncode == REFUSED and b"[####" in seen and b" left  1 entries  1 refused" in seen and seen.endswith(b"\r\x1b[K")
    assert out.count(b"refused: ") == 5 and b"\x1b" not in out


def little_memory() -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (24 << 20, 24 << 20))


def test_a_long_manifest_in_little_memory(program, maker, tmp_path):
    """One entry that is longer than all memory it has, and others around it."""
    if b"AddressSanitizer" in pathlib.Path(program).read_bytes():
        pytest.skip("a sanitized program needs more memory than that to begin with")
    with open(tmp_path / "report", "w+") as report:  # a pipe that nobody reads would stop what fills it
        with subprocess.Popen([program, "manifest", "check", "-"], stdin=subprocess.PIPE, stdout=report, text=True,
                              preexec_fn=little_memory) as done:
            done.stdin.write("[{}")
            for piece in itertools.chain([',"'], itertools.repeat("a" * 4096, 8192), ['"'], itertools.repeat(",[[1]]", 20000)):
                done.stdin.write(piece)
            done.stdin.write("]")
        report.seek(0)
        lines = report.read().splitlines()
    assert lines[1] == "-                   refused: it is longer than 65536 octets (entry 1, octet 4)"
    assert lines[-1] == "20002 entries: 0 good, 20002 refused"


@pytest.mark.long
def test_a_hundred_thousand_chips_in_little_memory(program, tmp_path):
    """What is remembered of each is 40 octets at the most, and of nothing else more than of ten."""
    peaks = []
    for count in (10, 100_000):
        path = tmp_path / str(count)
        write_many(count, str(path), light=True)
        with open(tmp_path / "out", "w+") as out:
            done = subprocess.Popen([program, "manifest", "check", path, "--signer", f"{path}.signer"], stdout=out)
            _, status, usage = os.wait4(done.pid, 0)
            out.seek(0)
            assert os.waitstatus_to_exitcode(status) == DONE
            assert out.read().endswith(f"\n{count} entries: {count} good, 0 refused\n")
        done.returncode = 0
        peaks.append(usage.ru_maxrss * 1024)
    assert peaks[1] - peaks[0] < 100_000 * 40 + (1 << 20), peaks


@pytest.mark.skipif(not os.environ.get("LORAJS_MANIFESTS"),
                    reason="LORAJS_MANIFESTS names no folder of genuine manifests: tried are those of our own making alone")
def test_the_genuine_ones(run):
    folder = os.environ["LORAJS_MANIFESTS"]
    for name in ("mahtn-t", "tnglora_B", "tnglora_C"):
        said = run("manifest", "check", f"{folder}/tts_microchip_atecc608a_{name}.json").stdout
        assert said.endswith("1 entries: 1 good, 0 refused\n")
    said = run("manifest", "check", f"{folder}/tts_microchip_atecc608a_tnglora_B_BADSIG.json", code=REFUSED).stdout
    assert "the signature is not the signer's" in said
