"""A plot of the last hour as SVG: from points to lines, and nothing else.

A point without a value is a break in its line: what was not measured is not drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

WIDTH, HEIGHT = 380, 130
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 8, 10, 22
SECONDS = 3600.0
"""How far back the left edge is."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line: (seconds ago, value or None) from the oldest to the newest point."""

    name: str
    points: Sequence[tuple[float, float | None]]


def plot(title: str, lines: Sequence[Line], say: Callable[[float], str]) -> Markup:
    """The lines over one scale from 0; `say` writes a value with its unit."""
    top = _ceiling(max((value for line in lines for _, value in line.points if value), default=0.0))
    drawn = Markup("").join(_line(number, line, top) for number, line in enumerate(lines))
    return Markup(
        '<svg class="plot" viewBox="0 0 {} {}" role="img" aria-label="{}">{}{}</svg>'
    ).format(WIDTH, HEIGHT, sentence(title, lines, say), _scale(top, say), drawn)


def sentence(title: str, lines: Sequence[Line], say: Callable[[float], str]) -> str:
    """The newest and the highest value of each line in words."""
    said = []
    for line in lines:
        known = [value for _, value in line.points if value is not None]
        now = f"{say(known[-1])} now, {say(max(known))} at most" if known else "not measured yet"
        said.append(f"{line.name} {now}")
    return f"{title}, last hour: {'; '.join(said)}"


def _line(number: int, line: Line, top: float) -> Markup:
    drawn = Markup("")
    for run in _runs(line.points):
        path = " ".join(f"{_x(ago):.1f},{_y(value, top):.1f}" for ago, value in run)
        drawn += Markup('<polyline points="{}"/>').format(path)
    return Markup('<g class="line line-{}"><title>{}</title>{}</g>').format(
        number, line.name, drawn
    )


def _runs(points: Sequence[tuple[float, float | None]]) -> Iterator[list[tuple[float, float]]]:
    run = list[tuple[float, float]]()
    for ago, value in points:
        if value is not None:
            run.append((ago, value))
        elif run:
            yield run
            run = []
    if run:
        yield run


def _scale(top: float, say: Callable[[float], str]) -> Markup:
    drawn = Markup("")
    for share in (0.0, 0.5, 1.0):
        y = _y(top * share, top)
        drawn += Markup(
            '<path class="grid" d="M{} {:.1f}H{}"/><text class="scale" x="{}" y="{:.1f}">{}</text>'
        ).format(_LEFT, y, WIDTH - _RIGHT, _LEFT - 5, y + 4, say(top * share))
    for ago, text in ((SECONDS, "60 min ago"), (SECONDS / 2, "30"), (0.0, "now")):
        anchor = "start" if ago == SECONDS else "middle" if ago else "end"
        drawn += Markup('<text class="time" text-anchor="{}" x="{:.1f}" y="{}">{}</text>').format(
            anchor, _x(ago), HEIGHT - 6, text
        )
    return drawn


def _x(ago: float) -> float:
    share = 1 - min(max(ago / SECONDS, 0.0), 1.0)
    return _LEFT + share * (WIDTH - _LEFT - _RIGHT)


def _y(value: float, top: float) -> float:
    return HEIGHT - _BOTTOM - value / top * (HEIGHT - _TOP - _BOTTOM)


def _ceiling(highest: float) -> float:
    """The next of 1, 2, 5 times a power of ten."""
    if highest <= 0:
        return 1.0
    step = 0.001
    while True:
        for factor in (1, 2, 5):
            if step * factor >= highest:
                return step * factor
        step *= 10
