"""Beside the consumer: finds events that got lost on their way, and asks their source for them.

Invariant: what is under way is not asked for. Each process says what it has in hand, a stream in a
transaction is left alone, and a process that has not received for long enough asks for nothing. One
process at a time asks, under an advisory lock (PostgreSQL, "Advisory Locks"). The request is an
event of this application, committed together with the note that it was asked.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from outbox import metrics
from outbox.failpoints import hit
from outbox.failures import is_contention
from outbox.inbox.beacon_chain import BeaconChains
from outbox.inbox.beacons import Beacons
from outbox.inbox.inbox import Inbox
from outbox.inbox.missing_events import (
    DO_NOT_COME,
    STATES,
    UNRECOVERABLE,
    MissingCount,
    MissingEvents,
)
from outbox.inbox.session import Session
from outbox.inbox.settings import ConsumerSettings
from outbox.inbox.tables import INBOX_TABLES
from outbox.log.deferred import raw_connection
from outbox.log.tables import OUTBOX_TABLES
from outbox.log.unit_of_work import UnitOfWork
from outbox.log.work import Work
from outbox.losses import one_line
from outbox.plural import counted
from outbox.postgres.notify import INBOX_CHANGES
from outbox.rabbitmq.subscription import Subscribed
from outbox.resend_events import ResendRequested, StreamRanges
from outbox.supervise import Up, keep_running, pause

logger = logging.getLogger(__name__)

SEARCH_EVERY, SELDOM = 2.0, 10.0
"""Seconds between two searches, while something may come or be asked for, and otherwise."""
GAP_LASTS = 5.0
"""Seconds after which a gap counts as missing; most gaps close within a moment."""
ASK_AGAIN, CEILING = 15.0, 300.0
"""Seconds until the same is asked for again: the first ones, doubled each time up to the last."""
HOLE_KEPT = 86_400.0
"""Seconds after which lost beacons are given up that no source told again."""
UNDER_WAY = 500
"""So many events are under way from one source at most: new ones wait behind them in the queue."""
WORTH_ASKING = UNDER_WAY // 2
"""With less room for what is under way, the next request waits until more has come."""
REQUEST_BYTES = 512 * 1024
"""A request names streams of about so many bytes at most: an event has its limit."""


class Searcher:
    """Searches for what is missing of one consumer's streams; at rest it sleeps."""

    def __init__(
        self,
        inbox: Inbox,
        work: Work,
        settings: ConsumerSettings,
        subscriptions: Iterable[Subscribed],
    ) -> None:
        self._inbox = inbox
        self._consumer = inbox.consumer
        self._work = work
        self._kinds = {(one.source, kind) for one in subscriptions for kind in one.aggregate_types}
        self._sources = sorted({source for source, _ in self._kinds})
        self._resend = frozenset(settings.resend)
        self._after = settings.missing_after
        self._gap_lasts = min(GAP_LASTS, settings.missing_after)
        self._wake = inbox.something_missing
        self._session: Session | None = None
        self._since = 0.0
        self.lost: list[str] = []
        """What does not come by itself: for health checks."""

    async def begin(self) -> None:
        """The queue is bound: what is published from now on must not get lost."""
        async with self._work.statements() as connection:
            await BeaconChains(connection, self._consumer).begin(sorted(self._kinds))

    def beacons(self) -> Beacons:
        """For a new session."""
        return Beacons(self._consumer, self._work, after=self._after, noticed=self._wake)

    @contextmanager
    def receiving(self, session: Session) -> Iterator[None]:
        """While a session receives, what it has in hand is under way."""
        self._session, self._since = session, time.monotonic()
        try:
            yield
        finally:
            self._session = None

    async def run(self, stop: asyncio.Event) -> None:
        """Search until told to stop, through any loss of the database."""
        name = f"searcher {self._consumer}"
        await keep_running(name, lambda up: self._run_session(up, stop), stop)

    async def _run_session(self, up: Up, stop: asyncio.Event) -> None:
        groups = [INBOX_TABLES, OUTBOX_TABLES] if self._resend else [INBOX_TABLES]
        await self._work.check(*groups)
        async with self._work.notifications.hearing(INBOX_CHANGES, self._hear):
            while not stop.is_set():
                self._wake.clear()
                seconds = await self._search()
                up("searches for missing events")
                # A burst of gaps wakes it once.
                await pause(stop, min(seconds, self._gap_lasts / 5))
                await pause(stop, seconds, self._wake)

    def _hear(self, payload: str | None) -> None:
        if payload in (self._consumer, None):
            self._wake.set()

    async def _search(self) -> float:
        """Returns the seconds until the next search."""
        async with self._work.statements() as connection:
            if not await MissingEvents(connection, self._consumer).are_possible():
                self._show([])
                return self._work.notifications.poll(SELDOM)
        try:
            await self._search_more()
        except Exception as problem:
            if not is_contention(problem):
                raise
            logger.warning("%s searches later: %s", self._consumer, one_line(problem))
        async with self._work.statements() as connection:
            counts = await MissingEvents(connection, self._consumer).counts()
        self._show(counts)
        settled = counts and all(one.state in DO_NOT_COME for one in counts)
        return SELDOM if settled else min(SEARCH_EVERY, self._after / 5)

    async def _search_more(self) -> None:
        session, received = self._session, time.monotonic() - self._since
        if session is None or self._inbox.valve.is_closed:
            return
        if in_hand := session.in_hand:
            async with self._work.engine.begin() as connection:
                missing = MissingEvents(await raw_connection(connection), self._consumer)
                await missing.wait_for_lock()
                await missing.in_hand(in_hand, after=self._after)
        if received >= self._after:
            await self._find_and_ask()

    async def _find_and_ask(self) -> None:
        requests: list[ResendRequested] = []
        async with self._work.begin() as unit:
            raw = await raw_connection(unit.connection)
            missing = MissingEvents(raw, self._consumer)
            if await missing.has_lock():
                chains = BeaconChains(raw, self._consumer)
                await missing.notice_gaps(after=self._gap_lasts)
                await missing.compare(after=self._after, soon=self._gap_lasts)
                for source in self._sources:
                    requests += await self._ask(source, unit, missing, chains)
                self._give_up(await chains.give_up(kept=HOLE_KEPT))
            if requests:
                hit("missing.asking")
        for request in requests:
            hit("missing.asked")
            self._say(request)

    async def _ask(
        self, source: str, unit: UnitOfWork, missing: MissingEvents, chains: BeaconChains
    ) -> list[ResendRequested]:
        """Ask a source for what is due, as far as there is room for it; what it does not answer
        only gets its time."""
        due = await missing.due(source, limit=UNDER_WAY)
        holes = await chains.ask(source, first=ASK_AGAIN, ceiling=CEILING)
        if source in self._resend:
            room = UNDER_WAY - await missing.under_way(source)
            streams = portion(due, room) if room >= WORTH_ASKING else []
        else:
            streams = [StreamRanges(one.aggregate_type, one.aggregate_id, ()) for one in due]
        if streams:
            await missing.asked(source, streams, first=ASK_AGAIN, ceiling=CEILING)
        if source not in self._resend or not (streams or holes):
            return []
        request = ResendRequested(source, self._consumer, tuple(streams), tuple(holes))
        await unit.emit(request)
        return [request]

    def _say(self, request: ResendRequested) -> None:
        events = sum(one.count for one in request.streams)
        metrics.RESENDS.labels(self._consumer).inc(events)
        what = f"{counted(events, 'event')} of {counted(len(request.streams), 'stream')}"
        beacons = counted(len(request.beacons), "aggregate type")
        says = "%s asks %s again for %s, and for the beacons of %s"
        logger.info(says, self._consumer, request.source, what, beacons)

    def _give_up(self, forgotten: Sequence[tuple[str, str]]) -> None:
        for source, kind in forgotten:
            logger.warning(
                "%s: beacons of %s/%s got lost and were not told again within a day;"
                " `outbox reconcile` shows what is missing",
                self._consumer,
                source,
                kind,
            )

    def _show(self, counts: Sequence[MissingCount]) -> None:
        """Set the metrics, and log what has become lost."""
        for state in STATES:
            events = sum(one.events for one in counts if one.state == state)
            metrics.MISSING.labels(self._consumer, state).set(events)
            if state == UNRECOVERABLE:
                metrics.UNRECOVERABLE.labels(self._consumer).set(events)
        lost = {
            f"{one.state} events of {one.source}": one for one in counts if one.state in DO_NOT_COME
        }
        for what in lost.keys() - set(self.lost):
            streams = counted(lost[what].streams, "stream")
            says = "%s misses %s in %s, such as %s; `outbox doctor` says what helps"
            logger.warning(says, self._consumer, what, streams, lost[what].first)
        self.lost = sorted(lost)


def portion(due: Sequence[StreamRanges], room: int) -> list[StreamRanges]:
    """The first of what is due, at most so many events and streams that fit into a request."""
    chosen, size = list[StreamRanges](), 0
    for one in due:
        size += len(json.dumps([one.aggregate_type, one.aggregate_id]))
        if room <= 0 or size > REQUEST_BYTES:
            break
        chosen.append(_first(one, room))
        room -= chosen[-1].count
    return chosen


def _first(stream: StreamRanges, count: int) -> StreamRanges:
    """At most so many events of a stream."""
    ranges = list[tuple[int, int]]()
    for first, last in stream.ranges:
        if count <= 0:
            break
        ranges.append((first, min(last, first + count - 1)))
        count -= ranges[-1][1] - first + 1
    return StreamRanges(stream.aggregate_type, stream.aggregate_id, tuple(ranges))
