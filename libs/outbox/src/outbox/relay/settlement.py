"""What the broker's answers mean for the rows: marked, held for a retry, or parked."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from outbox import failpoints, metrics, tracing
from outbox.log.row import OutboxRow
from outbox.publisher.publisher import Outcome
from outbox.relay.backoff import Backoff
from outbox.relay.in_flight import InFlight, Sent
from outbox.relay.log_reader import LogMarker
from outbox.relay.unroutable import Unroutable

log = logging.getLogger(__name__)

TOMBSTONE_TRIES = 5
"""So often a tombstone comes back before it is done with; meanwhile the topology is declared."""


class BrokerSilent(TimeoutError):
    """No confirm within the time: the lanes are given up, for a relay that works."""


class ChannelClosed(ConnectionError):
    """The broker closed the channel over one of several events; which one is to be found out."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a window's outcomes mean for its rows."""

    sent: list[OutboxRow] = field(default_factory=list)
    failed: list[tuple[OutboxRow, Outcome]] = field(default_factory=list)
    unwanted: list[OutboxRow] = field(default_factory=list)
    """Tombstones that no queue takes; they are among the sent ones."""

    def of(self, outcome: Outcome) -> list[OutboxRow]:
        """The failed events that ended so."""
        return [entry for entry, found in self.failed if found is outcome]


def judge(
    entries: Sequence[OutboxRow], outcomes: Sequence[Outcome], broken: Collection[str] = ()
) -> Verdict:
    """Of each aggregate, all up to its first event that was not acked count as sent.

    Of the `broken` ones, of which an earlier event has failed already, none does. A tombstone that
    came back `TOMBSTONE_TRIES` times counts as sent: no queue takes anything of its aggregate.
    """
    if not broken and outcomes.count(Outcome.ACKED) == len(outcomes):
        return Verdict(sent=list(entries))
    verdict = Verdict()
    stopped = set(broken)
    for entry, outcome in zip(entries, outcomes, strict=True):
        key = key_of(entry)
        if key in stopped:
            continue
        if outcome is Outcome.ACKED:
            verdict.sent.append(entry)
        elif outcome is Outcome.RETURNED and _nobody_waits_for(entry):
            verdict.sent.append(entry)
            verdict.unwanted.append(entry)
        else:
            verdict.failed.append((entry, outcome))
            stopped.add(key)
    return verdict


def _nobody_waits_for(entry: OutboxRow) -> bool:
    return entry.attempts >= TOMBSTONE_TRIES and entry.envelope().is_tombstone


def key_of(entry: OutboxRow) -> str:
    """How an aggregate is named where it is held."""
    return entry.key.decode()


class Settlement:
    """Settles windows in the order in which they were sent."""

    def __init__(
        self,
        *,
        marking: LogMarker,
        in_flight: InFlight,
        holds: Backoff,
        clock: Callable[[], float],
        unroutable: Unroutable,
        on_unroutable: Callable[[], None],
    ) -> None:
        self._marking = marking
        self._in_flight = in_flight
        self._holds = holds
        self._clock = clock
        self._unroutable = unroutable
        self._on_unroutable = on_unroutable

    async def run(self) -> None:
        """Settle for ever. Raises `BrokerSilent` or `ChannelClosed`."""
        while True:
            window = await self._in_flight.oldest()
            with metrics.WINDOW_SECONDS.time(), tracing.publishing(window.entries):
                outcomes = await window.flight.outcomes()
            failpoints.hit("relay.confirmed")
            await self._settle(window, outcomes)
            await self._in_flight.settled()

    async def _settle(self, window: Sent, outcomes: Sequence[Outcome]) -> None:
        for outcome in set(outcomes):
            metrics.PUBLISHED.labels(outcome.value).inc(outcomes.count(outcome))
        verdict = judge(window.entries, outcomes, self._in_flight.broken)
        if verdict.sent:
            await self._marking.published(verdict.sent)
            failpoints.hit("relay.marked")
            self._unroutable.sent(verdict.sent)
        if verdict.unwanted:
            ids = [entry.event_id.decode() for entry in verdict.unwanted]
            log.info("no queue takes the tombstones of %s: they are done with", ids)
        if verdict.failed:
            await self._fail(window, verdict)

    async def _fail(self, window: Sent, verdict: Verdict) -> None:
        refused = self._refused(verdict, alone=len(window.entries) == 1)
        errors = {entry.id: outcome.value for entry, outcome in verdict.failed}
        await self._marking.failed(errors, parked=refused)
        if refused:
            log.error("events %s can never be sent and are parked", sorted(refused))
            self._holds.park(await self._marking.parked())
        if verdict.of(Outcome.TIMED_OUT):
            raise BrokerSilent("no confirm from the broker")
        if verdict.of(Outcome.CLOSED):
            raise ChannelClosed("the broker closed the channel over an event")
        for entry, _ in verdict.failed:
            self._hold(entry)
        if returned := verdict.of(Outcome.RETURNED):
            self._unroutable.returned(returned)
            self._on_unroutable()

    def _hold(self, entry: OutboxRow) -> None:
        key = key_of(entry)
        self._in_flight.break_(key)
        self._holds.hold(key, entry.id, attempts=entry.attempts, now=self._clock())

    def _refused(self, verdict: Verdict, *, alone: bool) -> set[int]:
        """Those that can never be sent: by their own form, or found by being alone under way."""
        alone = alone and len(self._in_flight) == 1
        return {
            entry.id
            for entry, outcome in verdict.failed
            if outcome is Outcome.REFUSED or (alone and outcome is Outcome.CLOSED)
        }
