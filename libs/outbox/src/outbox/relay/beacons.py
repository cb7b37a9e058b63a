"""Says now and then how far streams have come, so that consumers notice when a last event is lost.

Invariant: one relay speaks for the whole outbox table, the owner of lane 0. What was published is
told of in the next round; a round that was published and not stored is published again. While
nothing is published, nothing is said.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from itertools import groupby
from operator import itemgetter

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
"""The first round of a database begins so long before it."""


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
        numbers = {
            **{kind: one.number for kind, one in found.positions.items() if kind not in span.apart},
            **{(one.source, one.aggregate_type): one.number for one in beacons},
        }
        await self._queries.store(numbers, found.positions, published.until)
        return NEXT_PART if published.is_cut or span.apart else self._check_every


def due(found: Situation, every: timedelta) -> Span | None:
    """The span of the next round; None while there is nothing to say.

    What was published since the last round comes first. Kinds of which a consumer asks for earlier
    beacons are apart until they have come as far.
    """
    untils = {one.until for one in found.positions.values()} or {found.now - FIRST}
    newest, oldest = max(untils), min(untils)
    until = found.now - min(COMMITS_WITHIN, every / 2)
    if newest < until and _is_due(found, newest, every):
        apart = [kind for kind, one in found.positions.items() if one.until < newest]
        return Span(newest, until, frozenset(apart))
    if oldest < newest:
        apart = [kind for kind, one in found.positions.items() if one.until > oldest]
        return Span(oldest, newest, frozenset(apart))
    return None


def _is_due(found: Situation, newest: datetime, every: timedelta) -> bool:
    last = found.last_published
    if last is None or last <= newest:
        return False
    return found.now - last >= min(IDLE, every) or found.now - newest >= every


def beacons_of(
    positions: Mapping[Kind, Position], span: Span, published: Published
) -> Iterator[Beacon]:
    """The beacons of a round. All but the last of a kind end where they begin.

    So a lost one leaves a hole that the last one does not hide.
    """
    for kind, group in groupby(published.streams, key=itemgetter(0)):
        source, aggregate_type = kind
        chunks = [streams for _, streams in group]
        before = positions[kind].number if kind in positions else 0
        for number, streams in enumerate(chunks, before + 1):
            is_last = number == before + len(chunks)
            until = published.until if is_last else span.since
            yield Beacon(source, aggregate_type, number, span.since, until, streams)
