"""Asking for events again, from both sides: the handlers of the queue for the way back.

A consumer that misses events asks for them by `ResendRequested`, through its own outbox. Its
producer's service has them published again and answers by `EventsUnavailable` what it has not kept.
What goes again comes in front of what is new, so there is a limit to it (decision 1814).

on = resend_handlers(SHOP_STREAMS)      # a Subscription to the aggregate type "stream"
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

from outbox import metrics
from outbox.errors import InvalidSetting
from outbox.event import Envelope
from outbox.inbox.event_handlers import Handlers
from outbox.inbox.missing_events import MissingEvents
from outbox.log.deferred import raw_connection
from outbox.log.resend_queries import BACKLOG, BEACONS_AGAIN, RESEND
from outbox.log.unit_of_work import UnitOfWork
from outbox.postgres.notify import DOORBELL, RESCAN
from outbox.rabbitmq.beacons import EARLIEST
from outbox.rabbitmq.subscription import Subscribed
from outbox.resend_events import (
    RESENDING,
    BeaconsMissed,
    EventsUnavailable,
    Ranges,
    ResendRequested,
    StreamRanges,
    listed,
)
from outbox.throttled_warnings import Throttled

logger = logging.getLogger(__name__)

AT_ONCE, A_SECOND = 5_000, 1_000
"""So many events may be asked for at once and, on average, in a second; in each process."""

Row = tuple[str, str, int]
"""Aggregate type, aggregate id, sequence."""


class Allowance:
    """How many events may be asked for now: a bucket of tokens that fills with time."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._left = float(AT_ONCE)
        self._filled_at = clock()

    def grant(self, wanted: int) -> int:
        """So many of these, from none to all."""
        now = self._clock()
        self._left = min(AT_ONCE, self._left + A_SECOND * (now - self._filled_at))
        self._filled_at = now
        granted = min(wanted, int(self._left))
        self._left -= granted
        return granted


class Answers:
    """Answers requests. What is beyond the allowance gets no answer, and is asked for again."""

    def __init__(self) -> None:
        self._allowance = Allowance()
        self._warnings = Throttled(logger)

    async def answer(self, unit: UnitOfWork, request: ResendRequested) -> None:
        """Have events published again, say which are not kept, and have beacons begin earlier."""
        if request.source != unit.source:
            return
        if request.beacons:
            await _repeat_beacons(unit, request.beacons)
        asked = sorted(set(_rows(request.streams)))
        granted = self._allowance.grant(len(asked))
        if granted < len(asked):
            self._put_off(len(asked) - granted, request.consumer)
        if granted:
            await _resend(unit, request.consumer, asked[:granted])

    def _put_off(self, count: int, consumer: str) -> None:
        metrics.PUT_OFF.inc(count)
        says = "more than %d events a second are asked for: %d wait for the next request of %r"
        self._warnings.warning(says, A_SECOND, count, consumer)


def resend_handlers(subscription: Subscribed) -> Handlers:
    """The handlers of a queue that takes the aggregate type `stream` from other sources.

    They answer requests to the source of their own unit of work and ignore all others. Raises
    `InvalidSetting` for a queue that does not take that aggregate type.
    """
    if RESENDING not in subscription.aggregate_types:
        rule = f"does not have the aggregate type {RESENDING!r}, so no request arrives there"
        raise InvalidSetting(f"subscription of {subscription.queue}", rule)
    on = Handlers(subscription, ResendRequested, EventsUnavailable)
    on(ResendRequested)(Answers().answer)
    on(EventsUnavailable)(note_unavailable)
    return on


async def note_unavailable(unit: UnitOfWork, gone: EventsUnavailable, event: Envelope) -> None:
    """Note which missing events a consumer of this database need not ask for any more."""
    if event.stream.source != gone.source:
        return
    missing = MissingEvents(await raw_connection(unit.connection), gone.consumer)
    for stream, ranges in await missing.unavailable(gone.source, gone.streams):
        says = "%s misses events of %s that its source does not have any more: %s"
        logger.warning(says, gone.consumer, stream, listed(ranges))


async def _repeat_beacons(unit: UnitOfWork, beacons: Sequence[BeaconsMissed]) -> None:
    values = {
        "source": unit.source,
        "types": [one.aggregate_type for one in beacons],
        "sinces": [max(one.since, EARLIEST) for one in beacons],
    }
    await unit.send(BEACONS_AGAIN, values)


async def _resend(unit: UnitOfWork, consumer: str, asked: list[Row]) -> None:
    types, ids, sequences = (list(column) for column in zip(*asked, strict=True))
    found = await unit.connection.exec_driver_sql(
        RESEND,
        {
            "source": unit.source,
            "types": types,
            "ids": ids,
            "sequences": sequences,
            "backlog": BACKLOG,
        },
    )
    rows: list[Any] = list(found)
    metrics.RESENT.inc(rows[0][0])
    unit.announce(DOORBELL, RESCAN)
    if unavailable := [(kind, id_, n) for _, kind, id_, n in rows if kind is not None]:
        await unit.emit(EventsUnavailable(unit.source, consumer, _ranges(unavailable)))


def _rows(streams: Iterable[StreamRanges]) -> Iterator[Row]:
    for one in streams:
        for first, last in one.ranges:
            for sequence in range(first, last + 1):
                yield one.aggregate_type, one.aggregate_id, sequence


def _ranges(rows: Iterable[Row]) -> tuple[StreamRanges, ...]:
    """The same events by stream; `rows` are in order."""
    streams = groupby(rows, key=itemgetter(0, 1))
    return tuple(
        StreamRanges(kind, id_, _joined(sequence for _, _, sequence in of_stream))
        for (kind, id_), of_stream in streams
    )


def _joined(sequences: Iterable[int]) -> Ranges:
    """Sequences in order, as ranges apart from each other."""
    joined: list[tuple[int, int]] = []
    for sequence in sequences:
        if joined and joined[-1][1] == sequence - 1:
            joined[-1] = (joined[-1][0], sequence)
        else:
            joined.append((sequence, sequence))
    return tuple(joined)
