"""The clock that a test moves, and what was said by whom."""

from __future__ import annotations

from dataclasses import dataclass

DEVICE, NETWORK, JOIN_SERVER = "device", "network", "join server"


class Clock:
    """Milliseconds since the test began."""

    def __init__(self) -> None:
        self.now = 0

    def advance(self, ms: int) -> None:
        """ValueError for a step back."""
        if ms < 0:
            raise ValueError("a clock does not go back")
        self.now += ms


@dataclass(frozen=True)
class Entry:
    """A message, or a note where `to` is None."""

    at: int  # ms
    whose: str
    to: str | None
    text: str
    lost: bool = False


def _time(ms: int) -> str:
    return (f"{ms // 86_400_000:3}d {ms // 3_600_000 % 24:02}:{ms // 60_000 % 60:02}:{ms // 1000 % 60:02}"
            f".{ms % 1000:03}")


class Trace:
    """What was said, in its order; as `lorajs simulate --trace` and `--diagram` tell it."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def message(self, at: int, whose: str, to: str, text: str, *, lost: bool = False) -> None:
        self.entries.append(Entry(at, whose, to, text, lost))

    def note(self, at: int, whose: str, text: str) -> None:
        self.entries.append(Entry(at, whose, None, text))

    def actors(self) -> list[str]:
        """Devices first, Join Server last."""
        rank = {NETWORK: 1, JOIN_SERVER: 2}
        names = dict.fromkeys(name for entry in self.entries for name in (entry.whose, entry.to) if name)
        return sorted(names, key=lambda name: rank.get(name, 0))

    def text(self) -> str:
        """A line for each entry."""
        width = max((len(name) for name in self.actors()), default=0)
        lines = []
        for entry in self.entries:
            arrow = "  " if entry.to is None else "-x" if entry.lost else "->"
            line = f"{_time(entry.at)}  {entry.whose:{width}} {arrow} {entry.to or '':{width if entry.to else 0}}"
            lines.append(f"{line}  {entry.text}" if entry.to else f"{line}{entry.text}")
        return "".join(line + "\n" for line in lines)

    def mermaid(self) -> str:
        """A sequence diagram."""
        ids = {name: f"A{i}" for i, name in enumerate(self.actors())}
        lines = ["sequenceDiagram", *(f"    participant {ids[name]} as {_plain(name)}" for name in ids)]
        for entry in self.entries:
            if entry.to is None:
                lines.append(f"    Note over {ids[entry.whose]}: {_plain(entry.text)}")
            else:
                arrow = "-x" if entry.lost else "->>"
                lines.append(f"    {ids[entry.whose]}{arrow}{ids[entry.to]}: "
                             f"{_time(entry.at).strip()} {_plain(entry.text)}")
        return "\n".join(lines) + "\n"


def _plain(text: str) -> str:
    """Semicolons end a statement of Mermaid, # begins an entity."""
    return "".join(f"#{ord(c)};" if c in ";#" else " " if c in "\r\n" else c for c in text)
