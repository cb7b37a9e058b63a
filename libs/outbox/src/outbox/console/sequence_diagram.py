"""A journey as a sequence diagram: lanes side by side, and a row for each step.

Rows have one distance whatever the time between them, because stages differ by a factor of a
million. The time since the beginning stands in front of each row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from outbox.console.figures import took
from outbox.operations.journey import Journey, State, Step, steps
from outbox.operations.journey.steps import FAILED, PARKED, PUBLISHED, RECEIVED, WRITTEN

CALLER, BROKER = "caller", "RabbitMQ"
MARGIN, LANE, ROW, TOP = 120, 230, 40, 56
LONGEST = 30
"""Characters of a label; the whole text is its title."""
_BAD = (FAILED, PARKED, str(State.DISCARDED), str(State.SKIPPED), str(State.FORKED))


@dataclass(frozen=True, slots=True)
class Lane:
    """A vertical line."""

    name: str
    x: int


@dataclass(frozen=True, slots=True)
class Row:
    """An arrow from `start` to `end`, or a point where both are the same.

    `kind` is `ok`, `bad` or `open`: what is still to happen.
    """

    y: int
    start: int
    end: int
    kind: str
    label: str
    title: str
    time: str
    """Since the beginning; nothing where the time is not known."""

    @property
    def is_arrow(self) -> bool:
        return self.start != self.end

    @property
    def label_x(self) -> int:
        """Where the label begins: beside a point, or over the left half of an arrow."""
        return min(self.start, self.end) + 12

    @property
    def head(self) -> str:
        """The points of the arrow's head."""
        back = self.end - 8 if self.end > self.start else self.end + 8
        return f"{self.end},{self.y} {back},{self.y - 4} {back},{self.y + 4}"


@dataclass(frozen=True, slots=True)
class Diagram:
    """What the template draws."""

    lanes: Sequence[Lane]
    rows: Sequence[Row]

    @property
    def width(self) -> int:
        return MARGIN + LANE * len(self.lanes) + MARGIN

    @property
    def height(self) -> int:
        return TOP + ROW * (len(self.rows) + 1)

    @property
    def bottom(self) -> int:
        """Where the lanes end."""
        return self.height - ROW // 2


def diagram(journey: Journey) -> Diagram:
    """The picture of a journey."""
    found = steps(journey)
    names = [CALLER, BROKER]
    for step in found:
        if step.database not in names:
            # The first database stands before the broker, the others behind it.
            names.insert(1 if len(names) == 2 else len(names), step.database)
    lanes = [Lane(name, MARGIN + LANE // 2 + LANE * at) for at, name in enumerate(names)]
    x = {lane.name: lane.x for lane in lanes}
    rows = [_row(step, x, TOP + ROW * at, journey.began_at) for at, step in enumerate(found, 1)]
    return Diagram(lanes, rows)


def _row(step: Step, x: dict[str, int], y: int, began: datetime | None) -> Row:
    here = x[step.database]
    start, end = here, here
    if step.what == WRITTEN and step.is_first:
        start = x[CALLER]
    elif step.what == PUBLISHED:
        end = x[BROKER]
    elif step.what in (RECEIVED, PARKED):
        start = x[BROKER]
    kind = "open" if not step.done else "bad" if step.what in _BAD else "ok"
    known = step.at if step.done else None
    title = f"{step.what}: {step.detail}"
    says = step.detail.partition(",")[0] if start != end else title
    return Row(
        y,
        start,
        end,
        kind,
        says if len(says) <= LONGEST else f"{says[: LONGEST - 1]}…",
        f"{step.where}, {title}",
        f"+{took((known - began).total_seconds())}" if known and began else "",
    )
