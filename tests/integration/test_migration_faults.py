"""What the world does to a fleet that moves: daemons that are killed, and disks that are full.  Nobody answers for a
device twice with one JoinNonce, and no device is lost."""

from __future__ import annotations

import collections
import json
import os
import random
import resource
import threading

import pytest
from conftest import DONE, FAILED, PATIENCE, Server
from joins import Device, result
from test_backup import Radio, fleet, killer, memory, provision  # noqa: F401: fixtures
from test_faults import limit_files
from test_full import FULL
from test_migration import STRANGER, Move, accept, move, other, started, wait_until  # noqa: F401: fixtures


def nonces(run, data) -> collections.Counter:
    """Each session that is durable there, answered or not."""
    told = map(json.loads, run("audit", "show", "--data", data, "--json").stdout.splitlines())
    return collections.Counter((t["dev_eui"], t["join_nonce"]) for t in told if t["kind"] == "join")


@pytest.mark.parametrize("rounds", [1, pytest.param(40, marks=[pytest.mark.long, pytest.mark.timeout(3600)])])
def test_daemons_are_killed_while_devices_move(run, move, started, rounds):  # noqa: F811
    """Two that have each other's address.  While devices join through either, each goes over, and the one daemon or the
    other is killed at some moment of that; and in the next round they come back."""
    dice = random.Random(rounds)
    radios, at = fleet(4), {"old": move.old_data, "new": move.new_data}
    provision(run, move.old_data, radios)
    run("device", "import", "-", "--data", move.new_data, input="")
    server = {name: started(data) for name, data in at.items()}
    listen = {name: s.url.removeprefix("http://") for name, s in server.items()}
    stop, faults, killed = threading.Event(), [], 0

    def start(name: str) -> None:
        peer = next(url for other, url in listen.items() if other != name)
        server[name] = started(at[name], "--forward", f"http://{peer}", listen=listen[name])

    def kill_and_start(name: str) -> None:
        server[name].kill()
        start(name)

    def joins(radio: Radio, turn: int) -> None:
        while not stop.is_set():
            asked = server[("old", "new")[(turn := turn + 1) % 2]]
            try:
                answer = asked.ask(radio.join())
            except (OSError, AssertionError, ValueError):  # it was killed, before or after it did its work
                continue
            except Exception:  # http.client has many names for that
                continue
            try:
                if result(answer) != "Other":
                    nonce = radio.take(answer)
                    assert nonce > radio.seen
                    radio.seen = nonce
            except BaseException as fault:
                faults.append(fault)
                return

    for name in at:
        assert server[name].stop() == DONE
        start(name)
    threads = [threading.Thread(target=joins, args=(radio, i)) for i, radio in enumerate(radios)]
    for thread in threads:
        thread.start()
    try:
        for n in range(rounds):
            a, b = ("old", "new") if n % 2 == 0 else ("new", "old")
            for radio in radios:
                eui, have = f"{radio.dev_eui:016x}", len(radio.given)
                wait_until(lambda: faults or len(radio.given) > have)
                for name in dice.sample(["old", "new"], 2):
                    hit = threading.Thread(target=kill_and_start, args=(name,))
                    hit.start()
                    killed += 1
                    if name == a:
                        move.parcel.unlink(missing_ok=True)
                        run("device", "export", "--data", at[a], *move.export[4:], eui)
                    else:
                        if not move.parcel.exists():
                            run("device", "export", "--data", at[a], *move.export[4:], eui)
                        run("device", "receive", move.parcel, "--data", at[b], *move.receive[5:])
                        if n:
                            run("device", "move-back", "--data", at[b], eui)
                    hit.join()
                if not n:
                    have = len(radio.given)
                run("device", "receive", move.parcel, "--data", at[b], *move.receive[5:])
                wait_until(lambda: faults or len(radio.given) > have)
                move.parcel.unlink()
            assert not faults, faults[0]
    finally:
        stop.set()
        for thread in threads:
            thread.join(PATIENCE)
    assert not faults, faults[0]
    for radio in radios:  # through either, none is lost
        for one in server.values():
            wait_until(lambda: result(answer := one.ask(radio.join())) == "Success" and radio.take(answer))
    old, new = nonces(run, move.old_data), nonces(run, move.new_data)
    print(killed, sum(old.values()), sum(new.values()))
    assert not old & new and set((old + new).values()) == {1}
    for data in at.values():
        run("audit", "verify", "--data", data)


def test_a_full_disk_while_forwarding(run, data, started, other):  # noqa: F811
    """What is not here needs no room here: it is answered as ever.  And where the other's disk is full, that is told."""
    device = Device(0x0102030405060000)
    run("device", "import", "-", "--data", data, input=device.line())
    proxy = started(data, "--forward", other.url)
    other.says = accept
    limit_files(proxy, 4096)
    assert result(proxy.ask(device.join())) == "Other"
    for _ in range(5):
        assert result(proxy.ask(STRANGER.join())) == "Success"
    limit_files(proxy, resource.RLIM_INFINITY)
    assert result(proxy.ask(device.join())) == "Success"
    front = started(data.parent / "front", "--forward", proxy.url)
    assert result(front.ask(device.join())) == "Success"
    limit_files(proxy, 4096)
    assert result(front.ask(message := device.join())) == "Other"
    limit_files(proxy, resource.RLIM_INFINITY)
    assert result(front.ask(message)) == "Success"


def test_a_full_disk_while_a_device_moves(run, killer, move, started):  # noqa: F811
    """On the old side it stays, on the new one it is nowhere until there is room; a parcel that was not written whole is
    none, and is written again."""
    radios = [Radio(0x0102030405060000 + n, "1.1") for n in range(3)]
    provision(run, move.old_data, radios)
    run("device", "import", "-", "--data", move.new_data, input="")
    old, new = started(move.old_data), started(move.new_data)
    names = [f"{radio.dev_eui:016x}" for radio in radios]
    assert "full disk" in run(*move.export, *names, code=FAILED, **FULL).stderr
    for radio in radios:
        radio.joins(old)
    assert not list(move.parcel.parent.glob("fleet.parcel*"))
    full = {"LD_PRELOAD": killer, "NO_ROOM": "fleet.parcel", "ASAN_OPTIONS": "verify_asan_link_order=0:detect_leaks=0"}
    assert "0 devices are marked" in run(*move.export, *names, code=FAILED, env={**full, "ROOM": "0"}).stderr
    radios[0].joins(old)
    said = run(*move.export, *names, code=FAILED, env={**full, "ROOM": "1"}).stderr
    assert "No space" in said and "3 devices are marked as exposed and moved nevertheless" in said
    assert not list(move.parcel.parent.glob("fleet.parcel*"))
    run(*move.export, *names)
    assert "full disk" in run(*move.receive, code=FAILED, **FULL).stderr
    for radio in radios:
        assert result(old.ask(radio.join())) == "Other" and result(new.ask(radio.join())) == "UnknownDevEUI"
    limit_files(new, 4096)
    run(*move.receive)
    for radio in radios:
        assert result(new.ask(radio.join())) == "Other"
    limit_files(new, resource.RLIM_INFINITY)
    for radio in radios:
        radio.joins(new)
        assert result(old.ask(radio.join())) == "Other"
