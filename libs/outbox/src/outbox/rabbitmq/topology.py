"""Exchanges, queues and bindings: relays and consumers declare them before their first use.

A queue takes whole aggregate types. Its delivery limit is too high to be reached, because at the
limit a broker drops all prefetched messages together with the failing one, and 0 or -1 means "drop
at once" on some versions. Messages go to the dead-letter queue at least once, which needs
`reject-publish` (RabbitMQ, "Quorum Queues", "Dead Lettering").

Where stream queues take everything, relays publish to an entry exchange, which the stream queues
and the exchange itself are bound to. What the exchange then routes to no queue goes to its queue of
unrouted events, by its alternate exchange (decision 1801).

One file, because all that a broker has to have is declared here, in an order that matters.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from datetime import timedelta
from typing import Any
from uuid import uuid4

from aio_pika import ExchangeType, Message
from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.exceptions import ChannelPreconditionFailed, PublishError
from aiormq.exceptions import ChannelAccessRefused, ChannelLockedResource

from outbox.argument_checks import MAX_SHORT_STRING, short_names
from outbox.errors import InvalidSetting, TopologyMismatch
from outbox.rabbitmq.beacons import BEACONS, beacon_key
from outbox.rabbitmq.subscription import Subscribed, check_subscribed, matches

DEAD_LETTERS = "dead"  # see decision 0004
DELIVERY_LIMIT = 1_000_000  # see decision 0006
SEGMENT_BYTES = 50_000_000
DEAD_LETTER_BYTES = UNROUTED_BYTES = 64 * 1024 * 1024

Declare = Callable[[AbstractChannel], Awaitable[None]]


class Topology:
    """Everything that has to exist before the first publish."""

    def __init__(
        self,
        exchanges: Iterable[str],
        subscriptions: Iterable[Subscribed],
        streams: Mapping[str, timedelta] | None = None,
        *,
        single_active_consumers: Collection[str] = (),
    ) -> None:
        """Raises `InvalidSetting` for names that no broker accepts.

        `streams` are stream queues that take everything, by name; each keeps it for that long.
        `single_active_consumers` are queues whose deliveries go to one process at a time.
        """
        self.exchanges = exchanges if isinstance(exchanges, str) else tuple(exchanges)
        self.subscriptions = tuple(subscriptions)
        self.stream_queues = dict(streams or {})
        """Stream queues, and how long each keeps its messages."""
        longest = MAX_SHORT_STRING - (len(entry_of("")) if self.stream_queues else 0)
        short_names("exchanges", self.exchanges, at_most=longest)
        short_names("streams", tuple(self.stream_queues))
        for subscription in self.subscriptions:
            check_subscribed(subscription)
        self.single_active_consumers = frozenset(single_active_consumers)
        if unknown := self.single_active_consumers - {*self.queues}:
            raise InvalidSetting("single_active_consumers", f"no queue is named {min(unknown)!r}")

    @property
    def queues(self) -> tuple[str, ...]:
        """Every consuming queue once, without the dead-letter queues."""
        return tuple(dict.fromkeys(subscription.queue for subscription in self.subscriptions))

    def of(self, queue: str) -> tuple[Subscribed, ...]:
        """The subscriptions of one queue."""
        return tuple(one for one in self.subscriptions if one.queue == queue)

    def entry(self, exchange: str) -> str:
        """The exchange to publish to, so that everything behind `exchange` gets it."""
        return entry_of(exchange) if self.stream_queues else exchange

    def takers(self, exchange: str, type_: str) -> tuple[str, ...]:
        """The queues that are to get events of this type from this exchange."""
        subscribed = (one for one in self.subscriptions if one.exchange == exchange)
        return tuple(one.queue for one in subscribed if matches(one.routing_keys, type_))

    def exchange_arguments(self, exchange: str) -> dict[str, Any]:
        """The arguments of an exchange (RabbitMQ, "Alternate Exchanges")."""
        return {"alternate-exchange": unrouted_of(exchange)} if self.stream_queues else {}

    def bindings_of(self, queue: str) -> list[tuple[str, str]]:
        """Exchanges and keys of one queue: those of its events, and of the beacons about them."""
        events = [(one.exchange, key) for one in self.of(queue) for key in one.routing_keys]
        beacons = [
            (BEACONS, beacon_key(one.source, kind))
            for one in self.of(queue)
            for kind in one.aggregate_types
        ]
        return list(dict.fromkeys([*events, *beacons]))

    def queue_arguments(self, queue: str) -> dict[str, Any]:
        """The arguments of a consuming queue (RabbitMQ, "Quorum Queues", "Queue Arguments")."""
        return queue_arguments(queue, single_active=queue in self.single_active_consumers)

    async def ensure(
        self, connection: AbstractConnection, *, publishes_to: str | None = None
    ) -> None:
        """Declare and bind everything, and prove that an unroutable message comes back.

        Changes nothing that exists. Raises `TopologyMismatch` for the first part that is refused.
        `publishes_to` is the exchange of a relay, see `parts`; without it a user may do everything.
        """
        own = self.exchanges if publishes_to is None else (publishes_to,)
        async with connection.channel(on_return_raises=True) as channel:
            for _, declare in self.parts(own):
                await declare(channel)
            await self.prove_hand_off(channel)

    def parts(self, own: Collection[str]) -> list[tuple[str, Declare]]:
        """Everything to declare, by name and in order; the broker may refuse each by itself.

        Only a user that may publish to an exchange may bind it behind its entry, so this is done
        for the exchanges that are one's `own`. Stream queues come last: once one is bound, an event
        whose own queue is missing is confirmed all the same.
        """
        return [
            *((f"exchange {name}", self._exchange(name)) for name in self.exchanges),
            (f"exchange {DEAD_LETTERS}", self._direct_exchange(DEAD_LETTERS)),
            (f"exchange {BEACONS}", self._direct_exchange(BEACONS)),
            *(part for name in self.queues for part in self._queue_parts(name)),
            *(part for name in self.exchanges for part in self._entry_parts(name, name in own)),
            *((f"stream queue {name}", self._stream_queue(name)) for name in self.stream_queues),
        ]

    def parts_of(self, queue: str) -> list[tuple[str, Declare]]:
        """The same for the consumer of one queue."""
        exchanges = dict.fromkeys(one.exchange for one in self.of(queue))
        return [
            *((f"exchange {name}", self._exchange(name)) for name in exchanges),
            (f"exchange {DEAD_LETTERS}", self._direct_exchange(DEAD_LETTERS)),
            (f"exchange {BEACONS}", self._direct_exchange(BEACONS)),
            *self._queue_parts(queue),
        ]

    async def declare_stream_queue(self, channel: AbstractChannel, name: str) -> None:
        """Declare and bind what a reader of a stream queue needs. Raises `TopologyMismatch`."""
        for exchange in self.exchanges:
            await self._entry(exchange)(channel)
        await self._stream_queue(name)(channel)

    async def prove_hand_off(self, channel: AbstractChannel) -> None:
        """Prove that an unroutable message comes back: the client's defaults are not trusted."""
        exchange = await channel.get_exchange(DEAD_LETTERS, ensure=False)
        probe = Message(b"", message_id=str(uuid4()))
        try:
            await exchange.publish(probe, f"audit-{probe.message_id}", mandatory=True, timeout=10)
        except PublishError:
            return
        raise TopologyMismatch("an unroutable message was confirmed instead of returned")

    def _exchange(self, name: str) -> Declare:
        async def declare(channel: AbstractChannel) -> None:
            await channel.declare_exchange(
                name, ExchangeType.TOPIC, durable=True, arguments=self.exchange_arguments(name)
            )

        return _refusable(declare, mend="a relay that publishes to it makes it anew")

    def _entry_parts(self, name: str, is_own: bool) -> list[tuple[str, Declare]]:
        if not self.stream_queues:
            return []
        entry = (f"exchange {entry_of(name)}", self._entry(name, before=name if is_own else None))
        return [(f"queue {unrouted_of(name)}", self._unrouted(name)), entry] if is_own else [entry]

    def _entry(self, name: str, *, before: str | None = None) -> Declare:
        async def declare(channel: AbstractChannel) -> None:
            entry = await channel.declare_exchange(entry_of(name), ExchangeType.TOPIC, durable=True)
            if before is not None:
                await (await channel.get_exchange(before, ensure=False)).bind(entry, "#")

        return _refusable(declare)

    def _unrouted(self, exchange: str) -> Declare:
        name = unrouted_of(exchange)

        async def declare(channel: AbstractChannel) -> None:
            await channel.declare_exchange(name, ExchangeType.FANOUT, durable=True)
            queue = await channel.declare_queue(name, durable=True, arguments=unrouted_arguments())
            await queue.bind(name, "")

        return _refusable(declare)

    def _direct_exchange(self, name: str) -> Declare:
        async def declare(channel: AbstractChannel) -> None:
            await channel.declare_exchange(name, ExchangeType.DIRECT, durable=True)

        return _refusable(declare)

    def _queue_parts(self, name: str) -> list[tuple[str, Declare]]:
        return [
            (f"queue {dead_letters_of(name)}", self._dead_queue(name)),
            (f"queue {name}", self._queue(name)),
        ]

    def _dead_queue(self, name: str) -> Declare:
        async def declare(channel: AbstractChannel) -> None:
            dead = await channel.declare_queue(
                dead_letters_of(name), durable=True, arguments=dead_letter_arguments()
            )
            await dead.bind(DEAD_LETTERS, name)

        return _refusable(declare)

    def _queue(self, name: str) -> Declare:
        async def declare(channel: AbstractChannel) -> None:
            arguments = self.queue_arguments(name)
            queue = await channel.declare_queue(name, durable=True, arguments=arguments)
            for exchange, key in self.bindings_of(name):
                await queue.bind(exchange, key)

        return _refusable(declare, mend=f"`outbox queues migrate {name}` makes it anew")

    def _stream_queue(self, name: str) -> Declare:
        async def declare(channel: AbstractChannel) -> None:
            queue = await channel.declare_queue(
                name, durable=True, arguments=stream_queue_arguments(self.stream_queues[name])
            )
            for exchange in self.exchanges:
                await queue.bind(entry_of(exchange), "#")

        return _refusable(declare)


def _refusable(declare: Declare, *, mend: str = "") -> Declare:
    """The same declaration; a refusal of the broker raises `TopologyMismatch`.

    `mend` says what helps where something exists with other arguments.
    """

    async def refusable(channel: AbstractChannel) -> None:
        try:
            await declare(channel)
        except ChannelPreconditionFailed as problem:
            raise TopologyMismatch(f"{problem}: {mend}" if mend else str(problem)) from problem
        except (ChannelLockedResource, ChannelAccessRefused) as problem:
            raise TopologyMismatch(str(problem)) from problem

    return refusable


def dead_letters_of(queue: str) -> str:
    """The queue for messages of which not even the stream can be read."""
    return f"{queue}.dead"


def entry_of(exchange: str) -> str:
    """The exchange in front of this one, where stream queues are bound."""
    return f"{exchange}.published"


def unrouted_of(exchange: str) -> str:
    """The alternate exchange of this one, and its queue."""
    return f"{exchange}.unrouted"


def unrouted_arguments() -> dict[str, Any]:
    """The arguments of a queue of unrouted events: when it is full, it drops the oldest."""
    return {
        "x-queue-type": "quorum",
        "x-delivery-limit": DELIVERY_LIMIT,
        "x-max-length-bytes": UNROUTED_BYTES,
        "x-overflow": "drop-head",
    }


def dead_letter_arguments() -> dict[str, Any]:
    """The arguments of a dead-letter queue: when it is full, it drops the oldest messages.

    If it refused the newest instead, they would stay in the consuming queue, whose dead lettering
    is at-least-once, and in the end stop it (RabbitMQ, "Quorum Queues", "At-Least-Once").
    """
    return {
        "x-queue-type": "quorum",
        "x-max-length-bytes": DEAD_LETTER_BYTES,
        "x-overflow": "drop-head",  # see decision 1213
    }


def queue_arguments(name: str, *, single_active: bool = False) -> dict[str, Any]:
    """The same, for a queue of this name; see decision 1601."""
    return {
        "x-queue-type": "quorum",
        **({"x-single-active-consumer": True} if single_active else {}),
        "x-delivery-limit": DELIVERY_LIMIT,
        "x-dead-letter-exchange": DEAD_LETTERS,
        "x-dead-letter-routing-key": name,
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }


def stream_queue_arguments(kept: timedelta) -> dict[str, Any]:
    """The arguments of a stream queue (RabbitMQ, "Streams", "Retention").

    The broker checks the age when a segment is full, hence segments smaller than the default of
    500 MB.
    """
    return {
        "x-queue-type": "stream",
        "x-max-age": f"{int(kept.total_seconds())}s",
        "x-stream-max-segment-size-bytes": SEGMENT_BYTES,
    }
