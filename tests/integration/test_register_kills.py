"""`manifest register` killed at its worst moments and run again: no device is half registered, nothing is done twice, and
what comes of it is what comes of one run that nobody killed."""

from __future__ import annotations

import collections
import json
import os
import pathlib
import random
import shutil
import sqlite3
import subprocess
import sys
import time

import pytest

from conftest import DONE, PATIENCE, ROOT
from test_backup import killer, memory  # noqa: F401: fixtures

sys.path.insert(0, str(ROOT / "tests"))
from manifests import Chip, Maker, pem, text_of  # noqa: E402

MADE = (b"d", b"s", b"q", b"p")  # of one device: its record, chip, claim, and the owner's index


class Delivery:
    def __init__(self, run, folder: pathlib.Path, chips: int) -> None:
        maker = Maker()
        (folder / "signers.pem").write_text(pem(maker.log))
        (folder / "roots.pem").write_text(pem(maker.root))
        (folder / "manifest.json").write_text(text_of([maker.entry(maker.payload(Chip(maker, n))) for n in range(1, chips + 1)]))
        self.run, self.folder, self.chips = run, folder, chips
        run("account", "add", "acme", "--data", folder / "empty")
        self.expected = self.new("whole")
        run(*self.words(self.expected))

    def new(self, name: str) -> pathlib.Path:
        shutil.rmtree(self.folder / name, ignore_errors=True)
        return pathlib.Path(shutil.copytree(self.folder / "empty", self.folder / name))

    def words(self, data: pathlib.Path) -> tuple:
        return ("manifest", "register", self.folder / "manifest.json", "--data", data, "--account", "acme", "--chip", "required",
                "--signer", self.folder / "signers.pem", "--root", self.folder / "roots.pem")

    def check_whole(self, data: pathlib.Path) -> int:
        """Each device that is there in any way is there in all; how many are."""
        db = sqlite3.connect(data / "lorajs.db")
        try:
            keys = [row[0] for row in db.execute("SELECT key FROM kv")]
        finally:
            db.close()
        parts = [{key[-8:] for key in keys if key[:1] == space and len(key) >= 9} for space in MADE]
        assert all(part == parts[0] for part in parts)
        return len(parts[0])

    def told(self, *words: object) -> list[dict]:
        return [json.loads(line) for line in self.run(*words, "--json").stdout.splitlines()]

    def state(self, data: pathlib.Path) -> list:
        claims = [{**claim, "at": None, "since": None} for claim in self.told("claim", "list", "--data", data)]
        return [self.told("device", "list", "--data", data), claims, self.told("account", "list", "--data", data)]

    def check_end(self, data: pathlib.Path) -> None:
        assert self.check_whole(data) == self.chips
        assert self.state(data) == self.state(self.expected)
        log = self.told("audit", "show", "--data", data)
        for kind in "chip", "assign":
            times = collections.Counter(entry["dev_eui"] for entry in log if entry["kind"] == kind)
            assert len(times) == self.chips and set(times.values()) == {1}, kind
        assert any(entry["kind"] == "manifest" and entry["count"] == self.chips for entry in log)
        self.run("audit", "verify", "--data", data)


def ends_at(program: str, killer: str, words: tuple, at: int) -> int:  # noqa: F811
    done = subprocess.run([program, *map(str, words)], capture_output=True, timeout=PATIENCE, env={
        **os.environ, "LD_PRELOAD": killer, "KILL_AT": str(at), "KILL_SYNCS": "1",
        "ASAN_OPTIONS": "verify_asan_link_order=0:detect_leaks=0"})
    assert done.returncode in (DONE, -9), done.stderr
    return done.returncode


def test_killed_at_each_step_in_one_place(run, program, killer, memory):  # noqa: F811
    """Before its first sync, then its second, and so on, over what was left each time."""
    delivery = Delivery(run, memory, 24)  # two transactions
    data, seen = delivery.new("data"), set()
    for at in range(1, 100):
        code = ends_at(program, killer, delivery.words(data), at)
        seen.add(delivery.check_whole(data))
        if code == DONE:
            break
    assert seen == {0, 21, 24} and at > 4
    delivery.check_end(data)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_killed_at_each_step(run, program, killer, memory):  # noqa: F811
    delivery = Delivery(run, memory, 64)
    for at in range(1, 200):
        data = delivery.new("data")
        code = ends_at(program, killer, delivery.words(data), at)
        delivery.check_whole(data)
        run(*delivery.words(data))
        delivery.check_end(data)
        if code == DONE:
            return
    raise AssertionError("it never came to its end")


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_killed_at_any_moment(run, program, tmp_path):
    """On a disk, a thousand devices, by the clock."""
    delivery, dice = Delivery(run, tmp_path, 1000), random.Random(6)
    began = time.monotonic()
    run(*delivery.words(delivery.new("timed")))
    takes = time.monotonic() - began
    for _ in range(20):
        data, kills = delivery.new("data"), 0
        while True:
            process = subprocess.Popen([program, *map(str, delivery.words(data))], stdout=subprocess.DEVNULL)
            try:
                assert process.wait(dice.uniform(0, takes)) == DONE
                break
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                kills += 1
            delivery.check_whole(data)
        delivery.check_end(data)
