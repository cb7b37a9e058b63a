"""The flow of events as a picture: from figures to SVG, and nothing else.

A band for each producer: the service, its outbox, its exchange, and a row for each queue behind it
with the service that consumes it. Invariant: every text is escaped, and every figure that the
picture has is in its titles too, which readers of the screen hear.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from outbox.console import figures

WIDTH = 1240
_HEIGHT, _ROW, _MARGIN = 54, 84, 18
# Left edge and width of each kind of box.
_SERVICE, _OUTBOX, _EXCHANGE = (4, 150), (296, 130), (600, 120)
_QUEUE, _CONSUMER = (790, 190), (1126, 110)
_LONGEST = 26


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is wrong here, in a sentence, and the page where it can be repaired."""

    reason: str
    href: str


@dataclass(frozen=True, slots=True)
class Arrow:
    """How events pass from one box to the next; None is what is not known.

    `rate` is in events a second; `waiting` events are before the arrow, the oldest of them for
    `oldest` seconds. `p50` and `p99` are the seconds that `times` names.
    """

    rate: float | None = None
    waiting: int | None = None
    oldest: float | None = None
    p50: float | None = None
    p99: float | None = None
    times: str = ""
    control: str = ""
    trouble: Trouble | None = None

    @property
    def above(self) -> str:
        """The line above the arrow: how many pass, and how long it takes them."""
        times = self.p50 is not None and self.p99 is not None
        spread = f"{figures.duration(self.p50)} / {figures.duration(self.p99)}" if times else ""
        return " · ".join(filter(None, [figures.rate(self.rate), spread]))

    @property
    def below(self) -> str:
        """The line below it: what waits, and for how long."""
        if not self.waiting:
            return self.control
        oldest = f", oldest {figures.duration(self.oldest)}" if self.oldest is not None else ""
        return " · ".join(filter(None, [f"{self.waiting:,} wait{oldest}", self.control]))

    def sentence(self, source: str, target: str) -> str:
        """All of it in words."""
        said = [f"From {source} to {target}: {figures.rate(self.rate)}"]
        if self.p50 is not None:
            spread = f"{figures.duration(self.p50)}, p99 {figures.duration(self.p99)}"
            said.append(f"{self.times or 'time'} p50 {spread}")
        if self.waiting is not None:
            said.append(f"{self.waiting:,} waiting")
        if self.waiting and self.oldest is not None:
            said.append(f"the oldest for {figures.duration(self.oldest)}")
        said += filter(None, [self.control, self.trouble.reason if self.trouble else ""])
        return "; ".join(said)


@dataclass(frozen=True, slots=True)
class Leg:
    """One queue behind an exchange, and the service that consumes it."""

    queue: str
    consumer: str
    arriving: Arrow
    leaving: Arrow
    href: str = ""


@dataclass(frozen=True, slots=True)
class Band:
    """One producer and everything behind it."""

    service: str
    exchange: str
    writing: Arrow
    publishing: Arrow
    legs: tuple[Leg, ...] = ()
    href: str = ""

    @property
    def height(self) -> int:
        """In units of the picture."""
        return max(len(self.legs), 1) * _ROW

    def arrows(self) -> Iterator[tuple[str, str, Arrow]]:
        """All arrows, each with where it comes from and goes to."""
        yield self.service, f"outbox of {self.service}", self.writing
        yield f"outbox of {self.service}", f"exchange {self.exchange}", self.publishing
        for leg in self.legs:
            yield f"exchange {self.exchange}", f"queue {leg.queue}", leg.arriving
            yield f"queue {leg.queue}", leg.consumer, leg.leaving


def draw(bands: Sequence[Band]) -> Markup:
    """The picture of all bands, one below the other."""
    height = sum(band.height + _MARGIN for band in bands) + _MARGIN
    drawn, top = Markup(""), _MARGIN
    for band in bands:
        drawn += _band(band, top)
        top += band.height + _MARGIN
    return Markup(
        '<svg class="flow" viewBox="0 0 {} {}" role="group" aria-label="{}">{}{}</svg>'
    ).format(WIDTH, height, "The flow of events; the same is in words below", _HEAD, drawn)


def troubles(bands: Iterable[Band]) -> list[Trouble]:
    """All troubles in the order of the picture, each once."""
    found = (arrow.trouble for band in bands for *_, arrow in band.arrows())
    return [*dict.fromkeys(trouble for trouble in found if trouble)]


_HEAD = Markup(
    '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" orient="auto"'
    ' markerUnits="userSpaceOnUse" markerWidth="10" markerHeight="10">'
    '<path class="head" d="M0 0 8 4 0 8z"/></marker></defs>'
)


def _band(band: Band, top: int) -> Markup:
    middle = top + _ROW // 2
    outbox = f"outbox of {band.service}"
    drawn = _box("service", _SERVICE, middle, band.service, "service", href=band.href)
    drawn += _box("outbox", _OUTBOX, middle, "outbox", "table", href=band.href)
    drawn += _box("exchange", _EXCHANGE, middle, band.exchange, "exchange")
    drawn += _arrow((_SERVICE, _OUTBOX), middle, band.writing, band.service, outbox)
    drawn += _arrow((_OUTBOX, _EXCHANGE), middle, band.publishing, outbox, band.exchange)
    for number, leg in enumerate(band.legs):
        drawn += _leg(band, leg, middle, middle + number * _ROW)
    return drawn


def _leg(band: Band, leg: Leg, middle: int, y: int) -> Markup:
    start, end = sum(_EXCHANGE), _QUEUE[0]
    bend = (start + end) // 2
    line = Markup(
        '<g class="{}"><title>{}</title>'
        '<path d="M{} {}C{} {} {} {} {} {}" marker-end="url(#head)"/></g>'
    ).format(
        *(_state(leg.arriving), leg.arriving.sentence(band.exchange, leg.queue)),
        *(start, middle, bend, middle, bend, y, end, y),
    )
    waits = "queue" if leg.arriving.waiting is None else f"{leg.arriving.waiting:,} ready"
    queue = _box("queue", _QUEUE, y, leg.queue, waits, href=leg.href)
    consumer = _box("service", _CONSUMER, y, leg.consumer, "consumer")
    return (
        line
        + queue
        + consumer
        + _arrow((_QUEUE, _CONSUMER), y, leg.leaving, leg.queue, leg.consumer)
    )


def _box(
    kind: str, column: tuple[int, int], y: int, name: str, what: str, *, href: str = ""
) -> Markup:
    left, width = column
    drawn = Markup(
        '<g class="box {}"><title>{}</title><rect x="{}" y="{}" width="{}" height="{}" rx="6"/>'
        '<text class="name" x="{}" y="{}">{}</text><text class="what" x="{}" y="{}">{}</text></g>'
    ).format(
        *(kind, f"{name} ({what})", left, y - _HEIGHT // 2, width, _HEIGHT),
        *(left + width // 2, y - 2, _short(name), left + width // 2, y + 15, what),
    )
    return _linked(href, drawn)


def _arrow(
    columns: tuple[tuple[int, int], tuple[int, int]], y: int, arrow: Arrow, source: str, target: str
) -> Markup:
    left, right = sum(columns[0]), columns[1][0]
    below = arrow.trouble.reason if arrow.trouble else arrow.below
    drawn = Markup(
        '<g class="{}"><title>{}</title><path d="M{} {}H{}" marker-end="url(#head)"/>'
        '<text class="above" x="{}" y="{}">{}</text><text class="below" x="{}" y="{}">{}</text></g>'
    ).format(
        *(_state(arrow), arrow.sentence(source, target), left, y, right),
        *((left + right) // 2, y - 8, arrow.above),
        *((left + right) // 2, y + 18, _short(below)),
    )
    return _linked(arrow.trouble.href if arrow.trouble else "", drawn)


def _state(arrow: Arrow) -> str:
    if arrow.trouble:
        return "arrow trouble"
    return "arrow controlled" if arrow.control else "arrow"


def _linked(href: str, drawn: Markup) -> Markup:
    return Markup('<a href="{}">{}</a>').format(href, drawn) if href else drawn


def _short(text: str) -> Markup:
    return escape(text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…")
