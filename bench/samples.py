"""Figures of rounds: what they come to, and whether they agree."""

from __future__ import annotations

from statistics import median


def noisy(values: list[float]) -> bool:
    """Do the middle half of the rounds lie further apart than a tenth?"""
    values = sorted(values)
    quarter = len(values) // 4
    return values[-1 - quarter] > 1.1 * values[quarter]


def summary(values: list[float]) -> dict[str, float]:
    return {"median": median(values), "low": min(values), "high": max(values), "rounds": len(values),
            "noisy": noisy(values)}  # fmt: skip


class Samples:
    """By name."""

    def __init__(self) -> None:
        self.of: dict[str, list[float]] = {}

    def add(self, name: str, value: float) -> None:
        self.of.setdefault(name, []).append(value)

    def noisy(self, name: str) -> bool:
        return noisy(self.of[name])

    def summary(self) -> dict[str, dict[str, float]]:
        return {name: summary(values) for name, values in self.of.items()}
