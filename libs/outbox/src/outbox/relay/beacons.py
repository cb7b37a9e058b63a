"""Says now and then how far streams have come, so that consumers notice when a last event is lost.

Invariant: one relay speaks for the whole outbox table, the owner of lane 0. What was published is
told of in the next round; a round that was published and not stored is published again. While
nothing is published, nothing is said.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from outbox import failpoints, metrics
from outbox.log.beacon_queries import (
    BeaconQueries,
    Kind,
    Position,
    Published,
    Situation,
    Span,
)
from outbox.publisher.beacons import BeaconPublisher
from outbox.rabbitmq.beacons import Beacon
from outbox.relay.lanes import Lanes

CHECK_EVERY = 5.0
NEXT_PART = 1.0
"""Seconds until the next check while more waits than one round tells."""
AFTER_FAILURE = 60.0
IDLE = timedelta(seconds=5)
"""So long after the last publish nothing more is waited for."""
COMMITS_WITHIN = timedelta(seconds=3)
"""A mark is visible so long after its time at the latest: what is younger is left to the next."""
FIRST = timedelta(minutes=1)
"""The first round of a database, or after its clock was set back, begins so long before it."""


class Beacons:
    """The loop that publishes beacons."""

    def __init__(self, queries: BeaconQueries, publisher: BeaconPublisher, every: float) -> None:
        """A round is due at least every so many seconds; 0 is never."""
        self._queries = queries
        self._publisher = publisher
        self._every = timedelta(seconds=every)
        self._check_every = min(CHECK_EVERY, every)

    async def run(self, lanes: Lanes) -> None:
        """Run until cancelled."""
        if not self._every:
            await asyncio.Event().wait()
        seconds = self._check_every
        while True:
            await asyncio.sleep(seconds)
            seconds = await self._check() if 0 in lanes.owned else self._check_every

    async def _check(self) -> float:
        """Publish a round if one is due; returns the seconds until the next check."""
        found = await self._queries.situation()
        span = due(found, self._every)
        if span is None:
            return self._check_every
        published = await self._queries.published(span)
        beacons = list(beacons_of(found.positions, span, published))
        if beacons and not await self._publisher.publish(beacons):
            return AFTER_FAILURE
        failpoints.hit("beacons.published")
        metrics.BEACONS.inc(len(beacons))
        before = {} if span.asked else {kind: one.number for kind, one in found.positions.items()}
        numbers = before | {(one.source, one.aggregate_type): one.number for one in beacons}
        await self._queries.store(span, numbers, published.until)
        return NEXT_PART if published.is_cut or span.asked else self._check_every


def due(found: Situation, every: timedelta) -> Span | None:
    """The span of the next round; None while there is nothing to say.

    What was published since the last round comes first, then what a consumer has asked for.
    """
    first = found.now - FIRST
    since = max((one.until for one in found.positions.values()), default=first)
    if since > found.now:  # The clock was set back, less than a check ago.
        since = first
    until = found.now - min(COMMITS_WITHIN, every / 2)
    if since < until and _is_due(found, since, every):
        return Span(since, until)
    asked = {kind: one.asked_since for kind, one in found.positions.items() if one.asked_since}
    if not asked:
        return None
    oldest = min(asked.values())
    return Span(oldest, since, frozenset(kind for kind, one in asked.items() if one == oldest))


def _is_due(found: Situation, since: datetime, every: timedelta) -> bool:
    last = found.last_published
    if last is None or last <= since:
        return False
    return found.now - last >= min(IDLE, every) or found.now - since >= every


def beacons_of(
    positions: Mapping[Kind, Position], span: Span, published: Published
) -> Iterator[Beacon]:
    """The beacons of a round. All but the last of a kind end where they begin.

    So a lost one leaves a hole that the last one does not hide. Who asked gets an answer, also if
    nothing was published.
    """
    chunks: dict[Kind, list[Mapping[str, int]]] = {kind: [] for kind in span.asked}
    for kind, streams in published.streams:
        chunks.setdefault(kind, []).append(streams)
    for (source, aggregate_type), of_kind in chunks.items():
        position = positions.get((source, aggregate_type))
        first = 1 + (position.number if position else 0)
        *others, last = of_kind or [{}]
        for number, streams in enumerate(others, first):
            yield Beacon(source, aggregate_type, number, span.since, span.since, streams)
        yield Beacon(source, aggregate_type, first + len(others), span.since, published.until, last)
