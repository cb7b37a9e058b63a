"""What a row finds out: a figure, what it was compared with, and what it has to reach."""

from __future__ import annotations

import os
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from bench.ceiling import Ceiling
from bench.stack import Stack
from devstack.host.console import say

TURNS = 3
"""How often a row takes its figures in each round, each time beside what they compare with."""


class Better(StrEnum):
    """Which way is up."""

    HIGHER = "higher"
    LOWER = "lower"


class Judged(StrEnum):
    """Which of a figure's numbers has to reach its aim."""

    RATIO = "ratio"
    MEASURED = "measured"


@dataclass(frozen=True)
class Figure:
    """One line of the table. Of several turns all numbers are medians."""

    name: str
    measured: float
    unit: str
    beside: str = ""
    compared: float | None = None
    ratio: float | None = None
    least: float | None = None
    aim: float | None = None
    judged: Judged = Judged.RATIO
    better: Better = Better.HIGHER
    cpu: float | None = None
    """Microseconds of the measured process's CPU per event."""
    remark: str = ""
    turns: dict[str, list[float]] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        """`aim`, `least` or `missed`; nothing where nothing is asked for."""
        value = self.ratio if self.judged is Judged.RATIO else self.measured
        for name, bound in (("aim", self.aim), ("least", self.least)):
            if bound is not None and value is not None and self._reaches(value, bound):
                return name
        return "" if self.least is None else "missed"

    def _reaches(self, value: float, bound: float) -> bool:
        return value >= bound if self.better is Better.HIGHER else value <= bound


def compare(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median of the ratios of neighbours: what both suffered from falls out."""
    return statistics.median(one / other for one, other in zip(ours, theirs, strict=True))


@dataclass(frozen=True)
class Bench:
    """What every row is given."""

    stack: Stack
    ceiling: Ceiling
    rounds: int

    @property
    def turns(self) -> range:
        return range(TURNS * self.rounds)

    def note(self, text: str) -> None:
        """A line of progress: what was just measured."""
        say(text)


def setting(name: str, default: int, *, least: int = 1, most: int = 10_000_000) -> int:
    """A whole number from the environment, within bounds."""
    given = os.environ.get(name, "").strip() or str(default)
    if not given.isdecimal() or not least <= int(given) <= most:
        raise SystemExit(f"bench: {name}={given} is not a number from {least} to {most}")
    return int(given)
