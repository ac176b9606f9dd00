"""A second judge of what `lorajs simulate` wrote down, of another hand than the one in C.

    python3 judge.py JOURNAL

It reads the journal (tools/journal.h tells its lines) and nothing else: no database, no
log, no word of the server.  What it looks for: a JoinNonce given twice or falling, two
sessions for one request, a SessionKeyID given twice, a nonce accepted twice, an answered
request that is refused when it comes again, a good request that is refused, and a device
that got nothing in the last run."""

from __future__ import annotations

import collections
import dataclasses
import pathlib
import sys


@dataclasses.dataclass(frozen=True)
class Ask:
    dev_eui: int
    k: int
    kind: str
    nonce: int
    mac: str
    net_id: int
    phy: bytes


@dataclasses.dataclass(frozen=True)
class Got:
    ask: Ask
    join_nonce: int
    session_key_id: str
    accept: bytes


@dataclasses.dataclass
class Journal:
    """Lines as they stand: (word, what the line tells)."""

    lines: list[tuple[str, object]]

    def gots(self) -> list[Got]:
        return [what for word, what in self.lines if word == "got"]

    def sessions(self) -> list[Got]:
        """The first answer to each request."""
        return list({(g.ask.dev_eui, g.ask.phy): g for g in reversed(self.gots())}.values())[::-1]


def _ask(words: list[str]) -> Ask:
    dev_eui, k, kind, nonce, mac, net_id, phy = words
    return Ask(int(dev_eui, 16), int(k), kind, int(nonce), mac, int(net_id, 16), bytes.fromhex(phy))


def read(path: pathlib.Path) -> Journal:
    text = pathlib.Path(path).read_text()
    lines: list[tuple[str, object]] = []
    for line in text[: text.rfind("\n") + 1].splitlines():
        word, *words = line.split(" ")
        if word == "run":
            lines.append((word, (int(words[0], 16), int(words[1]))))
        elif word == "ask":
            lines.append((word, _ask(words)))
        elif word == "got":
            lines.append((word, Got(_ask(words[:7]), int(words[7]), words[8], bytes.fromhex(words[9]))))
        elif word == "no":
            lines.append((word, (_ask(words[:7]), words[7])))
        elif word == "bad":
            lines.append((word, (int(words[0], 16), " ".join(words[1:]))))
        elif word == "end":
            lines.append((word, words[0]))
        else:
            raise ValueError(f"no line of a journal: {line!r}")
    return Journal(lines)


def judge(journal: Journal) -> list[str]:
    """Every law that is broken, in words; [] when none is."""
    broken: list[str] = []
    answers: dict[int, dict[bytes, Got]] = collections.defaultdict(dict)  # by device, then by request
    newest: dict[int, bytes] = {}  # the newest request of each device, answered or not
    owner: dict[str, tuple[int, bytes]] = {}  # of each SessionKeyID
    fleet: range = range(0)
    alive: set[int] = set()
    finished = False

    for word, what in journal.lines:
        if word == "run":
            fleet, alive, finished = range(what[0], what[0] + what[1]), set(), False
        elif word == "end":
            finished = what == "all"
        elif word == "ask":
            newest[what.dev_eui] = what.phy
        elif word == "bad":
            broken.append(f"{what[0]:016x}: {what[1]}")
        elif word == "no":
            ask, result = what
            mine = answers[ask.dev_eui]
            if ask.phy not in mine:
                broken.append(f"{ask.dev_eui:016x}: a good request refused with {result}")
            elif newest[ask.dev_eui] == ask.phy:
                broken.append(f"{ask.dev_eui:016x}: forgotten, refused with {result}")
        elif word == "got":
            mine, ask = answers[what.ask.dev_eui], what.ask
            if ask.phy in mine:
                first = mine[ask.phy]
                if (first.join_nonce, first.session_key_id, first.accept) != (
                        what.join_nonce, what.session_key_id, what.accept):
                    broken.append(f"{ask.dev_eui:016x}: two sessions for one request")
                elif next(reversed(mine)) != ask.phy:
                    broken.append(f"{ask.dev_eui:016x}: an old request answered again")
            else:
                if mine and what.join_nonce <= max(g.join_nonce for g in mine.values()):
                    broken.append(f"{ask.dev_eui:016x}: JoinNonce {what.join_nonce} does not rise")
                if any(g.ask.kind == ask.kind and g.ask.nonce == ask.nonce and ask.kind in ("join", "rejoin1")
                       for g in mine.values()):
                    broken.append(f"{ask.dev_eui:016x}: {ask.kind} nonce {ask.nonce} accepted twice")
                mine[ask.phy] = what
                alive.add(ask.dev_eui)
            if owner.setdefault(what.session_key_id, (ask.dev_eui, ask.phy)) != (ask.dev_eui, ask.phy):
                broken.append(f"{ask.dev_eui:016x}: SessionKeyID {what.session_key_id} is another session's")
    if finished and (lost := set(fleet) - alive):
        broken.append(f"{len(lost)} devices could not join again in the last run, {min(lost):016x} first")
    return broken


if __name__ == "__main__":
    found = judge(read(pathlib.Path(sys.argv[1])))
    print("\n".join(found) or "no law is broken")
    sys.exit(1 if found else 0)
