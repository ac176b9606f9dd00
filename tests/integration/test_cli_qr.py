"""`lorajs qr`: texts of labels, and pictures that a reader of QR codes reads."""

from __future__ import annotations

import json
import subprocess

import pytest

from conftest import DONE, FAILED, REFUSED, USAGE

HEAD = "LW:D0:1122334455667788:AABBCCDDEEFF0011:AABB1122"
EXAMPLE = HEAD + ":OAABBCCDDEEFF:SYYWWNNNNNN:PFOOBAR:CAF2C"
DEVICE = ("--join-eui", "1122334455667788", "--dev-eui", "aabbccddeeff0011", "--profile", "aabb1122")


def seen(path) -> str:
    """What the reader of a camera would say."""
    return subprocess.run(["zbarimg", "--quiet", "--raw", "--nodbus", path], stdout=subprocess.PIPE, text=True,
                          check=True).stdout


def test_what_is_made_is_read(run, tmp_path):
    done = run("qr", "make", *DEVICE, "--owner-token", "-", "--serial", "YYWWNNNNNN", "--proprietary", "FOOBAR",
               "--png", tmp_path / "label.png", "--svg", tmp_path / "label.svg", input="AABBCCDDEEFF\n")
    assert done.stdout == EXAMPLE + "\n"
    assert seen(tmp_path / "label.png") == EXAMPLE + "\n"
    assert json.loads(run("qr", "make", *DEVICE, "--json", "--no-checksum").stdout) == {"text": HEAD}
    assert (tmp_path / "label.png").stat().st_mode & 0o777 == 0o600
    assert json.loads(run("qr", "read", "--json", EXAMPLE).stdout) == {
        "form": "D0", "join_eui": "1122334455667788", "dev_eui": "aabbccddeeff0011", "vendor_id": "aabb",
        "vendor_profile_id": "1122", "owner_token": "AABBCCDDEEFF", "serial": "YYWWNNNNNN", "proprietary": "FOOBAR",
        "checksum": "good", "strict": True}
    table = run("qr", "read", "-", input=EXAMPLE + "\r\n").stdout
    assert "OwnerToken       AABBCCDDEEFF\n" in table and "CheckSum         good\n" in table


def test_the_svg_is_read_too(run, tmp_path):
    """Its runs of dark modules, eight dots a module, as a picture that the reader knows."""
    run("qr", "make", *DEVICE, "--svg", tmp_path / "a.svg")
    svg = (tmp_path / "a.svg").read_text()
    side = int(svg.split('viewBox="0 0 ')[1].split()[0])
    rows = [["0"] * side for _ in range(side)]
    for run_of in svg.rsplit(' d="', 1)[1].split('"')[0].split("M")[1:]:
        (x, y), length = map(int, run_of.split("h")[0].split()), int(run_of.split("h")[1].split("v")[0])
        rows[y][x : x + length] = ["1"] * length
    dots = "\n".join(" ".join(dot for dot in row for _ in range(8)) for row in rows for _ in range(8))
    (tmp_path / "a.pbm").write_text(f"P1\n{8 * side} {8 * side}\n{dots}\n")
    assert seen(tmp_path / "a.pbm").startswith(HEAD + ":C")


def test_a_terminal_shows_it(run):
    lines = run("qr", "make", *DEVICE, "--show").stdout.splitlines()[1:]
    assert len(lines) > 15 and len({len(line) for line in lines}) == 1 and set("".join(lines)) <= set("█▀▄ ")


@pytest.mark.parametrize("text, says", [
    (EXAMPLE[:-1] + "D", "the checksum is another"), (HEAD[:-4], "ProfileID is not 8"), (HEAD.lower(), "no text of"),
    (HEAD + ":Oaa", "OwnerToken is not"), ("", "no text of")])
def test_wrong_texts(run, text, says):
    done = run("qr", "read", "-", input=text, code=REFUSED)
    assert says in done.stderr and done.stdout == ""


def test_sloppy_texts(run):
    text = EXAMPLE[:-1] + "D"
    said = json.loads(run("qr", "read", "--lenient", "--json", text).stdout)
    assert said["checksum"] == "wrong" and said["strict"] is False
    assert "a device is not claimed by it" in run("qr", "read", "--lenient", text).stdout


@pytest.mark.parametrize("flags, code, says", [
    (DEVICE[:4], USAGE, "takes --join-eui"), ((*DEVICE[:5], "aabb"), USAGE, "8 hexadecimal digits"),
    ((*DEVICE, "--json", "--show"), USAGE, "--json or --show"),
    ((*DEVICE, "--serial", "a:b"), REFUSED, "no QR code"), ((*DEVICE, "--serial", "A" * 128), USAGE, "too long")])
def test_what_is_not_made(run, flags, code, says):
    assert says in run("qr", "make", *flags, code=code).stderr


def test_tokens_and_files(run, tmp_path):
    for token in ("", "A" * 33 + "\n", "A" * 200, "aabb", "A B", "A\0B"):
        assert "lorajs: " in run("qr", "make", *DEVICE, "--owner-token", "-", input=token, code=None).stderr
    (tmp_path / "there.svg").write_text("mine")
    assert "exists" in run("qr", "make", *DEVICE, "--svg", tmp_path / "there.svg", code=FAILED).stderr
    assert (tmp_path / "there.svg").read_text() == "mine"
    assert run("qr", "make", *DEVICE, "--no-checksum", code=DONE).stdout == HEAD + "\n"
