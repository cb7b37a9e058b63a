"""Ten thousand foul messages from a service that somebody has taken over.

They go to the other's consumers, and what becomes of each kind is counted: nothing but what the
sender may say in its own streams reaches the inbox, no queue stops, and what is lost is named.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import islice
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import httpx
import psycopg
from aio_pika import Message
from uuid_utils.compat import uuid7

import service_orders.bootstrap
import service_orders.metadata
import service_processor.metadata
from contracts import SUBSCRIPTIONS
from contracts.orders import OrderProcessed, OrderProcessingStarted
from contracts.restaurants import RestaurantCreated
from kit.http.live_services import Live
from kit.outbox.world import running
from kit.waiting import eventually
from outbox import (
    BackgroundService,
    ConsumerSettings,
    Envelope,
    Outbox,
    Stream,
    Work,
    build_worker,
    metrics,
    open_work,
)
from outbox.operations.database import open_database
from outbox.operations.reconcile import reconcile
from outbox.rabbitmq.cloudevents import to_message
from outbox.rabbitmq.connection import connect
from outbox.rabbitmq.topology import dead_letters_of
from service_orders.domains import DOMAINS
from servicekit.database.engine import create_engine
from servicekit.service.domain import queues_of

TOPOLOGY = service_orders.bootstrap.TOPOLOGY
QUEUES = tuple(queue for queue in TOPOLOGY.queues if queue.startswith("orders."))
SOURCE = "service-processor"
NOW = datetime(2026, 5, 1, tzinfo=UTC)

Kind = Callable[[UUID], tuple[str, Message]]
"""From the order that is attacked to a routing key and a message."""


def event(type_: str, aggregate: str, id_: str, body: bytes, sequence: int = 1) -> Message:
    """An event as the relay would send it."""
    stream = Stream(SOURCE, aggregate, id_)
    return to_message(Envelope(uuid7(), stream, sequence, type_, 1, NOW, body, "c"))


def outcome(order: UUID, subject: UUID) -> Message:
    """That the order is settled, in the stream of `subject`."""
    said = OrderProcessed(order_id=order, outcome="COMPLETED", reason=None, processed_at=NOW)
    return event("order.processed", "order", str(subject), said.payload())


def changed(message: Message, **headers: Any) -> Message:
    message.headers.update(headers)
    return message


def without(message: Message, **properties: Any) -> Message:
    for name, value in properties.items():
        setattr(message, name, value)
    return message


DONE = "order.processed"
KINDS: dict[str, tuple[int, Kind]] = {
    "source": (
        3_000,
        lambda order: (
            DONE,
            changed(outcome(order, order), **{"cloudEvents:source": f"s{uuid4().hex}"}),
        ),
    ),
    "aggregate_type": (
        3_000,
        lambda order: ("ticket.close_due", outcome(order, uuid4())),
    ),
    "content_type": (
        1_000,
        lambda order: (DONE, without(outcome(order, order), content_type="text/html")),
    ),
    "unreadable": (1_490, lambda _: ("table.created", Message(b"?", user_id=None))),
    "headers": (
        500,
        lambda order: (DONE, changed(outcome(order, order), **{f"x{n}": n for n in range(200)})),
    ),
    "sender": (500, lambda order: (DONE, outcome(order, order))),
    "too_large": (10, lambda order: (DONE, without(outcome(order, order), body=b"x" * 2**21))),
    "parked": (500, lambda order: (DONE, outcome(order, uuid4()))),
}
"""By what becomes of it, how many of each kind. Together 10,000."""


def foul(order: UUID, user: str) -> Iterator[tuple[str, Message]]:
    for name, (count, make) in KINDS.items():
        for _ in range(count):
            key, message = make(order)
            if name != "sender":
                message.user_id = user
            yield key, message


async def publish(url: str, messages: Iterator[tuple[str, Message]]) -> None:
    async with await connect(url, "test") as connection:
        channel = await connection.channel()
        exchange = await channel.get_exchange("processor", ensure=False)
        while chunk := list(islice(messages, 250)):
            await asyncio.gather(*(exchange.publish(message, key) for key, message in chunk))


@asynccontextmanager
async def work_on(live: Live, outbox: Outbox) -> AsyncIterator[Work]:
    engine = create_engine(live.database, application_name="test")
    async with open_work(engine, live.database, outbox) as work:
        yield work


def parts_of(
    live: Live, work: Work, url: str, exchange: str, **more: Any
) -> dict[str, BackgroundService]:
    return build_worker(
        database_url=live.database,
        broker_url=url,
        exchange=exchange,
        topology=TOPOLOGY,
        work=work,
        **{"queues": {}, **more},
    )


def place_order(orders: Live) -> UUID:
    body = {"user_id": "u", "products": [{"product_id": "p", "quantity": 1}], "amount": "1.00"}
    answer = httpx.post(f"{orders.base}/api/v1/orders", json=body, timeout=30).raise_for_status()
    return UUID(answer.json()["id"])


async def emit(work: Work, *events: Any) -> None:
    async with work.begin() as unit:
        await unit.emit(*events)


def restaurants(first: int, count: int) -> list[RestaurantCreated]:
    return [
        RestaurantCreated(
            restaurant_id=number,
            name="R",
            address="A",
            description=None,
            timezone="UTC",
            created_at=NOW,
        )
        for number in range(first, first + count)
    ]


async def knows(orders: Live, count: int) -> bool:
    return orders.rows()["restaurants"] == count


def counted() -> Counter[str]:
    found: Counter[str] = Counter()
    for queue in QUEUES:
        for reason in KINDS:
            found[reason] += int(metrics.DEAD_LETTERED.labels(queue, reason)._value.get())
    return found


async def dead_letters(url: str) -> int:
    async with await connect(url, "test") as connection:
        channel = await connection.channel()
        declared = [
            await channel.declare_queue(dead_letters_of(queue), passive=True) for queue in QUEUES
        ]
    return sum(one.declaration_result.message_count or 0 for one in declared)


async def has_dead_letters(url: str, count: int) -> bool:
    return await dead_letters(url) == count


def query(live: Live, statement: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(live.database) as connection:
        return connection.execute(statement).fetchall()


async def has_parked(orders: Live, count: int) -> bool:
    return query(orders, "SELECT count(*) FROM inbox_parked") == [(count,)]


async def test_what_becomes_of_ten_thousand_foul_messages(
    orders: Live, processor: Live, broker_url: str, login: Callable[[str], str]
) -> None:
    user = str(urlsplit(login("processor")).username)
    seen, lost = place_order(orders), place_order(orders)
    async with (
        work_on(orders, service_orders.metadata.outbox) as ours,
        work_on(processor, service_processor.metadata.outbox) as theirs,
    ):
        await emit(theirs, OrderProcessingStarted(order_id=lost, started_at=NOW))
        with psycopg.connect(processor.database) as connection:
            connection.execute("UPDATE outbox SET published_at = now() - interval '1 hour'")
        before = counted()
        consumers = parts_of(
            orders,
            ours,
            login("orders"),
            "orders",
            queues=queues_of(DOMAINS),
            consumer_settings=ConsumerSettings(senders={SOURCE: {user}}),
        )
        for name in ("relay", "maintenance", "maintenance inbox_applied"):
            del consumers[name]
        relay = parts_of(processor, theirs, login("processor"), "processor")["relay"]
        async with running(relay, *consumers.values()):
            await emit(theirs, OrderProcessingStarted(order_id=seen, started_at=NOW))
            await emit(theirs, *restaurants(1, 50))
            await eventually(lambda: knows(orders, 50))
            await publish(login("processor"), foul(lost, user))
            await emit(theirs, *restaurants(51, 50))
            await eventually(lambda: knows(orders, 100), within=120)
            await eventually(lambda: has_dead_letters(broker_url, 9_500), within=300)
            await eventually(lambda: has_parked(orders, 500), within=300)
            assert [name for name, part in consumers.items() if not part.running] == []
    refused = {reason: count for reason, (count, _) in KINDS.items() if reason != "parked"}
    assert counted() - before == refused
    assert query(orders, "SELECT DISTINCT source FROM inbox") == [(SOURCE,)]
    assert query(orders, "SELECT DISTINCT reason FROM inbox_parked") == [("unreadable",)]
    assert query(orders, f"SELECT status FROM orders WHERE id = '{lost}'") == [("CREATED",)]
    async with open_database(processor.database) as one, open_database(orders.database) as other:
        found = await reconcile(one, other, subscriptions=SUBSCRIPTIONS, grace=0)
    missing = [run for result in found.results for run in result.missing]
    assert [(run.stream, run.why) for run in missing if run.why != "ahead"] == [
        (f"{SOURCE}/order/{lost}", "lost")
    ]
