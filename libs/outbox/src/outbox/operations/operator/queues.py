"""RabbitMQ's view of the queues, and dead letters moved back into their queue.

The management API knows most. Without it AMQP says how many messages are ready and how many
consumers there are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from outbox.addresses import Broker
from outbox.errors import InvalidSetting, NotThere
from outbox.inbox.parked_rows import Preview
from outbox.inbox.position import CONSUMER_NAMES
from outbox.operations.database import Connection, has_table, now
from outbox.operations.moved_messages import move_messages
from outbox.operations.operator.record import Record, refuse_changed
from outbox.rabbitmq.management_api import Management
from outbox.rabbitmq.queue_depths import queue_depths
from outbox.rabbitmq.topology import Topology, dead_letters_of
from outbox.worker import Application


@dataclass(frozen=True, slots=True)
class QueueView:
    """A queue as the broker sees it; None is what is not known, or where there is no such queue.

    `differs` are the arguments that are not as the application declares them.
    """

    queue: str
    ready: int | None
    unacked: int | None
    consumers: int | None
    dead: int | None
    type: str | None = None
    state: str | None = None
    differs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Queues:
    """The queues of one database's consumers."""

    connection: Connection
    record: Record
    broker_url: Broker | None = None
    management_url: str | None = None
    application: Application | None = None

    async def list(self) -> Sequence[QueueView]:
        """The queues that this database consumes, and those of the application's topology.

        Raises `InvalidSetting` without a broker, `ManagementFailed` if the API does not answer.
        """
        names = await self._names()
        broker = self._broker()
        if self.management_url is None:
            depths = await queue_depths(broker, names)
            return [QueueView(d.queue, d.ready, None, d.consumers, d.dead) for d in depths]
        management = Management(self.management_url, broker)
        known = await asyncio.to_thread(management.queues)
        topology = self.application.topology if self.application else None
        return [_view(name, known, topology) for name in names]

    async def preview_dead_letters(self, queue: str) -> Preview:
        """How many dead letters of a queue there are to move. Raises `NotThere`."""
        [depth] = await queue_depths(self._broker(), [queue])
        if depth.ready is None or depth.dead is None:
            raise NotThere(f"the broker has no queue {queue} with dead letters")
        at = await now(self.connection)
        return Preview(depth.dead, 1, depth.ready, at, f"{depth.dead} dead letters")

    async def move_dead_letters(
        self, queue: str, *, seen: Preview | None = None, note: str = ""
    ) -> int:
        """Move dead letters back into their queue; returns how many. New ones stay.

        What the consumer still cannot attribute to a stream comes back as a dead letter.
        """
        async with self.record.change("move dead letters", queue, note=note) as change:
            found = await self.preview_dead_letters(queue)
            refuse_changed(seen, found)
            source = dead_letters_of(queue)
            change.events = await move_messages(self._broker(), source, queue, at_most=found.events)
        return change.events

    async def _names(self) -> Iterable[str]:
        consumed: Sequence[str] = ()
        if await has_table(self.connection, "inbox"):
            cursor = await self.connection.execute(CONSUMER_NAMES)
            consumed = [name for (name,) in await cursor.fetchall()]
        subscribed = self.application.topology.queues if self.application else ()
        return dict.fromkeys([*subscribed, *consumed])

    def _broker(self) -> Broker:
        if self.broker_url is None:
            raise InvalidSetting("broker_url", "is needed for what the broker knows")
        return self.broker_url


def _view(name: str, known: Mapping[str, Any], topology: Topology | None) -> QueueView:
    queue = known.get(name)
    dead = known.get(dead_letters_of(name), {}).get("messages_ready")
    if queue is None:
        return QueueView(name, None, None, None, dead, differs=("there is no such queue",))
    wanted = topology.queue_arguments(name) if topology and name in topology.queues else {}
    found = queue.get("arguments", {})
    differs = tuple(
        f"{argument} is {found.get(argument)!r}, not {value!r}"
        for argument, value in wanted.items()
        if found.get(argument) != value
    )
    return QueueView(
        name,
        queue.get("messages_ready"),
        queue.get("messages_unacknowledged"),
        queue.get("consumers"),
        dead,
        queue.get("type"),
        queue.get("state"),
        differs,
    )
