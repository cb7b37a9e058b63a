"""What the broker's answers mean for the rows: marked, backed off, or parked.

Invariant: windows are settled in the order in which they were sent, and a row is marked only if
every earlier event of its aggregate is. A type that no queue takes is logged once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field

from outbox import failpoints, metrics, tracing
from outbox.log.relay_queries import OutboxMarker
from outbox.log.row import OutboxRow
from outbox.publisher.publisher import Outcome
from outbox.relay.backoff import Backoff
from outbox.relay.in_flight import InFlight, SentWindow

logger = logging.getLogger(__name__)

TOMBSTONE_TRIES = 5
"""A tombstone that came back this often counts as published (decision 1121).

Meanwhile the topology is declared again and again."""


class BrokerSilent(TimeoutError):
    """No confirm within the time: the relay gives its lanes up, for a relay that works."""


class ChannelClosed(ConnectionError):
    """The broker closed the channel over one of several events (decision 0403).

    The next session finds out which one."""


@dataclass(frozen=True, slots=True)
class WindowResult:
    """What a window's outcomes mean for its rows."""

    sent: list[OutboxRow] = field(default_factory=list)
    failed: list[tuple[OutboxRow, Outcome]] = field(default_factory=list)
    unwanted: list[OutboxRow] = field(default_factory=list)
    """Tombstones that no queue takes; they are among the sent ones too."""

    def of(self, outcome: Outcome) -> list[OutboxRow]:
        """The failed events with this outcome."""
        return [row for row, found in self.failed if found is outcome]


def split_window(
    rows: Sequence[OutboxRow], outcomes: Sequence[Outcome], broken: Collection[str] = ()
) -> WindowResult:
    """An aggregate's events count as sent up to its first one that was not acked.

    No event of a `broken` aggregate counts as sent, because an earlier one has failed. A tombstone
    that came back `TOMBSTONE_TRIES` times does: no queue takes anything of its aggregate.
    """
    if not broken and outcomes.count(Outcome.ACKED) == len(outcomes):
        return WindowResult(sent=list(rows))
    result = WindowResult()
    stopped = set(broken)
    for row, outcome in zip(rows, outcomes, strict=True):
        if row.aggregate in stopped:
            continue
        if outcome is Outcome.ACKED:
            result.sent.append(row)
        elif outcome is Outcome.RETURNED and _is_unwanted_tombstone(row):
            result.sent.append(row)
            result.unwanted.append(row)
        else:
            result.failed.append((row, outcome))
            stopped.add(row.aggregate)
    return result


def _is_unwanted_tombstone(row: OutboxRow) -> bool:
    return row.attempts >= TOMBSTONE_TRIES and row.envelope().is_tombstone


class Settlement:
    """Settles windows in the order in which they were sent."""

    def __init__(
        self,
        *,
        marker: OutboxMarker,
        in_flight: InFlight,
        backoff: Backoff,
        clock: Callable[[], float],
        unroutable: Unroutable,
        on_unroutable: Callable[[], None],
    ) -> None:
        self._marker = marker
        self._in_flight = in_flight
        self._backoff = backoff
        self._clock = clock
        self._unroutable = unroutable
        self._on_unroutable = on_unroutable

    async def run(self) -> None:
        """Settle windows for ever. Raises `BrokerSilent` or `ChannelClosed`."""
        while True:
            window = await self._in_flight.oldest()
            with metrics.WINDOW_SECONDS.time(), tracing.publishing(window.rows):
                outcomes = await window.flight.outcomes()
            failpoints.hit("relay.confirmed")
            await self._settle(window, outcomes)
            await self._in_flight.remove_oldest()

    async def _settle(self, window: SentWindow, outcomes: Sequence[Outcome]) -> None:
        for outcome in set(outcomes):
            metrics.PUBLISHED.labels(outcome.value).inc(outcomes.count(outcome))
        result = split_window(window.rows, outcomes, self._in_flight.broken)
        if result.sent:
            await self._marker.mark_published(result.sent)
            failpoints.hit("relay.marked")
            self._unroutable.sent(result.sent)
        if result.unwanted:
            ids = [row.event_id.decode() for row in result.unwanted]
            logger.info("no queue takes the tombstones %s: they count as published", ids)
        if result.failed:
            await self._fail(window, result)

    async def _fail(self, window: SentWindow, result: WindowResult) -> None:
        refused = self._refused(result, alone=len(window.rows) == 1)
        errors = {row.id: outcome.value for row, outcome in result.failed}
        await self._marker.mark_failed(errors, parked=refused)
        if refused:
            logger.error("events %s can never be sent and are parked", sorted(refused))
            self._backoff.park(await self._marker.parked())
        if result.of(Outcome.TIMED_OUT):
            raise BrokerSilent("no confirm from the broker")
        if result.of(Outcome.CLOSED):
            raise ChannelClosed("the broker closed the channel over an event")
        for row, _ in result.failed:
            self._back_off(row)
        if returned := result.of(Outcome.RETURNED):
            self._unroutable.returned(returned)
            self._on_unroutable()

    def _back_off(self, row: OutboxRow) -> None:
        self._in_flight.mark_broken(row.aggregate)
        self._backoff.back_off(row.aggregate, row.id, attempts=row.attempts, now=self._clock())

    def _refused(self, result: WindowResult, *, alone: bool) -> set[int]:
        """Events that can never be sent: by their own form, or because the channel closed over
        them when nothing else was in flight (decision 0403).
        """
        alone = alone and len(self._in_flight) == 1
        return {
            row.id
            for row, outcome in result.failed
            if outcome is Outcome.REFUSED or (alone and outcome is Outcome.CLOSED)
        }


_MESSAGE = (
    "no queue takes events of type %s, published to exchange %s: they and all that is behind them"
    " in their aggregates wait. Bind a queue to this type (a Subscription in the Topology), or give"
    " the events up by `outbox unpublished discard`; the first is %s"
)


class Unroutable:
    """The event types that an exchange returned and that no queue has taken since."""

    def __init__(self, exchange: str) -> None:
        self._exchange = exchange
        self._types: set[bytes] = set()

    def returned(self, rows: Iterable[OutboxRow]) -> None:
        """These came back. A tombstone needs no advice: the relay gives it up by itself."""
        for row in rows:
            if row.type not in self._types and not row.envelope().is_tombstone:
                self._types.add(row.type)
                logger.warning(_MESSAGE, row.type.decode(), self._exchange, row.event_id.decode())

    def sent(self, rows: Iterable[OutboxRow]) -> None:
        """A queue took these: if their types come back once more, that is news."""
        if self._types:
            self._types.difference_update(row.type for row in rows)
