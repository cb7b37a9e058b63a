"""A row's result: a figure, what it is compared with, and the bound it has to reach."""

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
"""How often a row measures in each round. Every turn measures both sides of a comparison."""


class Better(StrEnum):
    """Whether a higher or a lower number is better."""

    HIGHER = "higher"
    LOWER = "lower"


class Judged(StrEnum):
    """Which number of a figure is held against its bounds."""

    RATIO = "ratio"
    MEASURED = "measured"


@dataclass(frozen=True)
class Figure:
    """One line of the table. All numbers are medians over the turns."""

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
    offered: float | None = None
    """Requests a second that an open loop sent."""
    remark: str = ""
    turns: dict[str, list[float]] = field(default_factory=dict)

    @property
    def grade(self) -> str:
        """`aim`, `least` or `missed`; empty when the figure has no bounds."""
        value = self.ratio if self.judged is Judged.RATIO else self.measured
        for name, bound in (("aim", self.aim), ("least", self.least)):
            if bound is not None and value is not None and self._reaches(value, bound):
                return name
        return "" if self.least is None else "missed"

    def _reaches(self, value: float, bound: float) -> bool:
        return value >= bound if self.better is Better.HIGHER else value <= bound


def compare(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median ratio of neighbouring turns; what slowed both down cancels out."""
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
        """Print a line of progress."""
        say(text)


def setting(name: str, default: int, *, least: int = 1, most: int = 10_000_000) -> int:
    """A whole number from the environment, within bounds."""
    given = os.environ.get(name, "").strip() or str(default)
    if not given.isdecimal() or not least <= int(given) <= most:
        raise SystemExit(f"bench: {name}={given} is not a number from {least} to {most}")
    return int(given)
