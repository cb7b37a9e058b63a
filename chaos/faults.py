"""The faults by name, and a seeded choice among them."""

from __future__ import annotations

import asyncio
import random
import signal
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg
from aio_pika.exceptions import AMQPError, ChannelInvalidStateError
from tenacity import (
    AsyncRetrying,
    retry_if_exception_type,
    stop_after_attempt,
    stop_after_delay,
    stop_all,
    wait_fixed,
)

from chaos import broker_tampering, stack
from chaos.commands import Target
from chaos.fleet import Fleet
from chaos.pauses import Pauses
from chaos.scenario import EXITS, KITCHEN, RAISES, SHOP, TOPOLOGY, Environment, Side
from chaos.workload import Workload
from devstack.native.system import System
from kit.servers.broker_losses import BrokerLosses
from kit.waiting import eventually
from outbox.failpoints import CONSUMER_STEPS, RELAY_STEPS
from outbox.inbox.operations import InboxOperations, ParkedSelection, list_parked

ROLES = ("relay", "consumer")
STEPS = (*RELAY_STEPS, *CONSUMER_STEPS)
BOTH = (SHOP, KITCHEN)
LATEST = 30
HIT_WITHIN = 4.0
TRIPS_WITHIN = 15.0
"""Seconds after which an outage ends although the type has not tripped: nothing may come in."""
OUTAGE = "INSERT INTO outages SELECT clock_timestamp() + make_interval(secs => %s)"
OVER_SOON = """
UPDATE outages SET ends_at = least(ends_at, clock_timestamp() + make_interval(secs => %s))
"""
TRIPPED = "SELECT tripped_at FROM inbox_tripped"


@dataclass
class Faults:
    """`one` injects the next fault of a seeded sequence; `done` counts them by name.

    `tripped_at` has the time of each opening of a breaker that was seen.
    """

    machines: System
    environment: Environment
    fleet: Fleet
    workload: Workload
    rng: random.Random
    done: Counter[str] = field(default_factory=Counter)
    tripped_at: set[datetime] = field(default_factory=set)
    _first: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Every step and every kind comes once before the choice is random."""
        self.pauses = Pauses(self.environment, self.rng)
        self.losses = BrokerLosses(self.machines)
        self._first = [*STEPS, *self._kinds]
        self.rng.shuffle(self._first)

    @property
    def _kinds(self) -> dict[str, tuple[int, Callable[[], Awaitable[None]]]]:
        """By name: the weight and the action."""
        return {
            "relay killed": (18, lambda: self._kill("relay")),
            "consumer killed": (18, lambda: self._kill("consumer")),
            "all of a role killed": (4, self._kill_all),
            "published again": (14, self._publish_again),
            "handler raises": (8, lambda: self._poison(RAISES)),
            "handler exits": (3, lambda: self._poison(EXITS)),
            "redriven in vain": (8, self._redrive),
            "some redriven": (8, self._redrive_some),
            "dependency away": (6, self._let_be_away),
            "event type paused": (5, lambda: self._pause(of_a_type=True)),
            "queue paused": (4, lambda: self._pause(of_a_type=False)),
            "consumers restarted": (3, self._restart_consumers),
            "message stolen": (6, self._steal),
            "last message deleted": (6, self._delete_last),
            "queue purged": (6, lambda: self._lose(self.losses.purge)),
            "queue deleted": (4, lambda: self._lose(self.losses.delete)),
            "binding removed": (6, self._unbind),
            "broker wiped": (1, lambda: asyncio.to_thread(self.losses.wipe)),
            "broker restored": (1, self._restore),
            "broker killed": (2, lambda: stack.kill(self.machines, "rabbitmq")),
            "database killed": (3, lambda: stack.kill(self.machines, "postgres")),
        }

    async def one(self) -> str:
        """Inject one fault and return its name."""
        name = self._first.pop() if self._first else self._chosen()
        self.done[name] += 1
        if name in STEPS:
            side, nth = self.rng.choice(BOTH).name, self.rng.choice((1, 1, 2, 3))
            slots = self.fleet.of(name.partition(".")[0], side)
            await self.fleet.arm(slots, name, nth, within=HIT_WITHIN)
        else:
            await _inject(self._kinds[name][1])
        return name

    def _chosen(self) -> str:
        weights = {name: weight for name, (weight, _) in self._kinds.items()}
        weights |= dict.fromkeys(STEPS, 2)
        return self.rng.choices(list(weights), list(weights.values()))[0]

    async def _kill(self, role: str) -> None:
        self.rng.choice(self.fleet.of(role)).send(signal.SIGKILL)

    async def _kill_all(self) -> None:
        for slot in self.fleet.of(self.rng.choice(ROLES)):
            slot.send(signal.SIGKILL)

    async def _publish_again(self) -> None:
        source = self.rng.choice(BOTH).name
        await broker_tampering.publish_again(
            self.environment, source, self.rng.randint(1, LATEST), self.rng
        )

    async def _poison(self, kind: str) -> None:
        self.workload.poison_next(kind)

    async def _redrive(self) -> None:
        """Nothing is mended, so poisoned events fail again and must stay parked."""
        async with self._kitchen() as connection:
            await InboxOperations(connection, KITCHEN.queue).redrive()

    async def _redrive_some(self) -> None:
        """Redrive one stream, or the group of one event, or one reason, whatever waits first."""
        async with self._kitchen() as connection:
            found = await list_parked(connection, KITCHEN.queue, limit=LATEST)
            if not found:
                return
            one = self.rng.choice(found)
            selection = self.rng.choice(
                [
                    ParkedSelection(stream=one.stream),
                    ParkedSelection(group=one.fingerprint),
                    ParkedSelection(reason=one.reason),
                ]
            )
            await InboxOperations(connection, KITCHEN.queue).redrive(selection)

    async def _let_be_away(self) -> None:
        """Every handler of one side fails until its event type trips, and a moment longer.

        Then all streams go on by themselves.
        """
        side, longer = self.rng.choice(BOTH), self.rng.uniform(0, 2)
        with self.environment.connect(side) as connection:
            connection.execute(OUTAGE, [TRIPS_WITHIN])

            async def trips() -> bool:
                found = {at for (at,) in connection.execute(TRIPPED).fetchall()}
                self.tripped_at.update(at for at in found if isinstance(at, datetime))
                return bool(found)

            with suppress(TimeoutError):
                await eventually(trips, within=TRIPS_WITHIN)
            connection.execute(OVER_SOON, [longer])

    async def _pause(self, *, of_a_type: bool) -> None:
        side = self.rng.choice(BOTH)
        await self.pauses.begin(Target(side, side.event_type if of_a_type else ""))

    async def _restart_consumers(self) -> None:
        """One after the other, as at a release: most are asked to stop, some are killed."""
        for slot in self.fleet.of("consumer", KITCHEN.name):
            how = signal.SIGTERM if self.rng.random() < 0.8 else signal.SIGKILL
            await self.fleet.restart(slot, how)

    @asynccontextmanager
    async def _kitchen(self) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
        url = self.environment.databases[KITCHEN.name]
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            yield connection

    async def _steal(self) -> None:
        async with self._unconsumed() as side:
            await broker_tampering.steal(self.environment, side)

    async def _delete_last(self) -> None:
        """Wait for some messages first: a queue is nearly always empty."""
        async with self._unconsumed() as side:
            await asyncio.sleep(self.rng.uniform(0, 1))
            await self.losses.delete_last(side.queue)

    @asynccontextmanager
    async def _unconsumed(self) -> AsyncIterator[Side]:
        """A side whose consumers are all stopped, so that a thief gets what comes."""
        side = self.rng.choice(BOTH)
        slots = self.fleet.of("consumer", side.name)
        await self.fleet.keep_down(slots)
        try:
            yield side
        finally:
            self.fleet.release(slots)

    async def _lose(self, remove: Callable[[str], None]) -> None:
        await asyncio.to_thread(remove, self.rng.choice(TOPOLOGY.queues))

    async def _unbind(self) -> None:
        one = self.rng.choice(TOPOLOGY.subscriptions)
        for key in one.routing_keys:
            await asyncio.to_thread(self.losses.unbind, one.exchange, one.queue, key)

    async def _restore(self) -> None:
        """From a copy that is a few seconds old."""
        with TemporaryDirectory() as folder:
            copy = Path(folder) / "copy"
            await asyncio.to_thread(self.losses.copy, copy)
            await asyncio.sleep(self.rng.uniform(1, 4))
            await asyncio.to_thread(self.losses.restore, copy)


async def _inject(fault: Callable[[], Awaitable[None]]) -> None:
    """Again, while a broker that has just been started does not have all its queues yet.

    It may keep a message for a minute before it refuses it, so one attempt decides nothing.
    """
    async for attempt in AsyncRetrying(
        retry=retry_if_exception_type((AMQPError, ChannelInvalidStateError)),
        stop=stop_all(stop_after_delay(60), stop_after_attempt(3)),
        wait=wait_fixed(0.2),
        reraise=True,
    ):
        with attempt:
            await fault()
