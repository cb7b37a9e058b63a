"""One connected life of a relay: look, publish, mark, again. Nothing outlives it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from outbox import metrics
from outbox.relay.floor import Floor
from outbox.relay.holds import Holds, retry_delay
from outbox.relay.lanes import Lanes
from outbox.relay.log import Connection, Entry, Log
from outbox.relay.publisher import Outcome, Publisher
from outbox.relay.schedule import Schedule
from outbox.relay.settings import RelaySettings

HOUSEKEEPING = 1.0
REPORT = 5.0
# Not at once: a queue that is declared anew within milliseconds of its deletion keeps a consumer
# that no longer hears of it, because the broker cancels consumers only a moment later.
REBIND_AFTER = 1.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a window's outcomes mean for its rows."""

    sent: list[int]
    failed: dict[int, tuple[Entry, Outcome]]

    @property
    def lost(self) -> bool:
        """Whether the channel went silent: the session has to begin anew."""
        return any(outcome is Outcome.TIMED_OUT for _, outcome in self.failed.values())

    @property
    def unroutable(self) -> bool:
        """Whether a binding is missing."""
        return any(outcome is Outcome.RETURNED for _, outcome in self.failed.values())


def judge(entries: Sequence[Entry], outcomes: Mapping[UUID, Outcome]) -> Verdict:
    """Of each aggregate, all up to its first event that was not acked count as sent."""
    verdict = Verdict(sent=[], failed={})
    stopped: set[str] = set()
    for entry in entries:
        key, outcome = key_of(entry), outcomes[entry.envelope.id]
        if key in stopped:
            continue
        if outcome is Outcome.ACKED:
            verdict.sent.append(entry.id)
        else:
            verdict.failed[entry.id] = (entry, outcome)
            stopped.add(key)
    return verdict


def key_of(entry: Entry) -> str:
    """How an aggregate is named where it is held."""
    stream = entry.envelope.stream
    return f"{stream.aggregate_type}/{stream.aggregate_id}"


class BrokerSilent(TimeoutError):
    """No confirm within the time: the lanes are given up, for a relay that works."""


@dataclass
class Session:
    """Everything that belongs to one pair of connections."""

    database: Connection
    log: Log
    lanes: Lanes
    schedule: Schedule
    publisher: Publisher
    ensure_topology: Callable[[], Awaitable[None]]
    settings: RelaySettings
    clock: Callable[[], float]
    floor: Floor = field(default_factory=Floor)
    holds: Holds = field(default_factory=Holds)
    _due: dict[str, float] = field(default_factory=dict)
    _rebinds: int = 0

    async def work(self, stop: asyncio.Event) -> None:
        """Relay windows until told to stop; returns with nothing in flight."""
        self._postpone("topology", self.settings.topology_check)
        poll = self.settings.poll_first
        while not stop.is_set():
            await self._keep_house()
            await self._move_due()
            full = await self.relay_window() == self.settings.window
            # Heard in any case: rings that nobody takes pile up in the connection.
            rung = await self._doorbell(0.0 if full else self._until_next(poll))
            if rung:
                self._due["schedule"] = 0.0
            first = full or rung
            poll = self.settings.poll_first if first else min(poll * 2, self.settings.poll_ceiling)

    async def relay_window(self) -> int:
        """Publish and mark the next window; returns how many events it had."""
        if not self.lanes.owned:
            return 0
        entries = await self._look()
        if entries:
            outcomes = await self._publish(entries)
            await self._settle(judge(entries, outcomes))
        last = entries[-1].id if entries else None
        self.floor.after_window(last, exhausted=len(entries) < self.settings.window)
        return len(entries)

    async def _look(self) -> list[Entry]:
        if self.holds.release_due(self.clock()):
            self.floor.reset()
        self.floor.before_look(await self.log.snapshot())
        return await self.log.look(
            floor=self.floor.value,
            lanes=self.lanes.owned,
            of=self.lanes.total,
            held=self.holds.keys,
            limit=self.settings.window,
        )

    async def _publish(self, entries: Sequence[Entry]) -> dict[UUID, Outcome]:
        with metrics.WINDOW_SECONDS.time():
            outcomes = await self.publisher.publish([entry.envelope for entry in entries])
        for outcome in outcomes.values():
            metrics.PUBLISHED.labels(outcome.value).inc()
        return outcomes

    async def _settle(self, verdict: Verdict) -> None:
        if verdict.sent:
            await self.log.mark_published(verdict.sent)
        if verdict.failed:
            errors = {id_: outcome.value for id_, (_, outcome) in verdict.failed.items()}
            await self.log.record_failures(errors)
        for entry, _ in verdict.failed.values():
            self.holds.hold(key_of(entry), attempts=entry.attempts, now=self.clock())
        if verdict.lost:
            raise BrokerSilent("no confirm from the broker")
        if verdict.unroutable:
            wait = retry_delay(self._rebinds, base=REBIND_AFTER)
            self._due["topology"] = min(self._due["topology"], self.clock() + wait)
        elif verdict.sent:
            self._rebinds = 0

    async def _keep_house(self) -> None:
        if self._is_due("housekeeping"):
            if await self.lanes.balance():
                self.floor.reset()
            metrics.LANES_OWNED.set(len(self.lanes.owned))
            self._postpone("housekeeping", HOUSEKEEPING)
        if self._is_due("report"):
            await self._report()
            self._postpone("report", REPORT)
        if self._is_due("full look"):
            self.floor.reset()
            self._postpone("full look", self.settings.full_look)
        if self._is_due("topology"):
            await self.ensure_topology()
            self.holds.release_all()
            self.floor.reset()
            self._rebinds += 1
            self._postpone("topology", self.settings.topology_check)

    async def _move_due(self) -> None:
        """Look at the schedule when something is due, when rung, and once a second."""
        if not (self.lanes.owned and self._is_due("schedule")):
            return
        while await self.schedule.move_due(limit=self.settings.window) >= self.settings.window:
            pass
        next_due = await self.schedule.next_due()
        # What is due and still there waits for somebody's transaction: look again, but do not spin.
        wait = HOUSEKEEPING if next_due is None else next_due or self.settings.poll_first
        self._postpone("schedule", min(wait, HOUSEKEEPING))

    def _until_next(self, poll: float) -> float:
        """Seconds to wait for a ring: no longer than until a retry or a scheduled event is due."""
        now = self.clock()
        waits = [poll]
        if (held := self.holds.next_due(now)) is not None:
            waits.append(held)
        if self.lanes.owned:
            waits.append(self._due.get("schedule", now) - now)
        return max(0.0, min(waits))

    async def _report(self) -> None:
        backlog, age = await self.log.backlog()
        metrics.BACKLOG.set(backlog)
        metrics.OLDEST_SECONDS.set(age)
        metrics.HELD.set(len(self.holds))

    async def _doorbell(self, seconds: float) -> bool:
        """Wait for a writer's ring; true if there was one."""
        rings = self.database.notifies(timeout=seconds, stop_after=1)
        # To its end, because a generator left half-way keeps the connection's lock.
        return bool([ring async for ring in rings])

    def _is_due(self, what: str) -> bool:
        return self.clock() >= self._due.get(what, 0.0)

    def _postpone(self, what: str, seconds: float) -> None:
        self._due[what] = self.clock() + seconds
