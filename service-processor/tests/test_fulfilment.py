"""How orders are fulfilled."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from uuid_utils.compat import uuid7

from contracts import OrderCreated, OrderedProduct, OrderProcessed
from outbox import Envelope, Inbox, Stream, open_work
from service_processor.domains.orders.handlers import handlers
from service_processor.domains.orders.policy import Simulated
from service_processor.metadata import outbox
from servicekit.database import create_engine
from servicekit.urls import PostgresUrl


def order(order_id: UUID) -> OrderCreated:
    return OrderCreated(
        order_id=order_id,
        user_id="user_1",
        products=(OrderedProduct(product_id="p", quantity=1),),
        amount=Decimal(1),
        created_at=datetime.now(UTC),
    )


def test_the_same_order_always_gets_the_same_decision() -> None:
    placed = order(uuid4())
    assert len({Simulated(0.5).decide(placed) for _ in range(20)}) == 1


@pytest.mark.parametrize(("rate", "completed"), [(0.0, 0), (1.0, 2000)])
def test_a_certain_rate_leaves_nothing_to_chance(rate: float, completed: int) -> None:
    assert completions(rate) == completed


def test_orders_succeed_at_about_the_rate() -> None:
    assert 1500 < completions(0.8) < 1700


def completions(rate: float) -> int:
    decisions = (Simulated(rate).decide(order(UUID(int=number))) for number in range(2000))
    return sum(decision.outcome == "COMPLETED" for decision in decisions)


def test_a_failure_says_why() -> None:
    assert Simulated(0).decide(order(uuid4())).reason == "simulated failure"


async def test_an_order_delivered_twice_is_decided_and_answered_once(migrated: PostgresUrl) -> None:
    placed = order(uuid4())
    stream = Stream("service-orders", "order", placed.aggregate_id)
    event = Envelope(uuid7(), stream, 1, placed.type, 1, datetime.now(UTC), placed.payload(), "c")
    engine = create_engine(migrated, application_name="test")
    async with open_work(engine, migrated, outbox) as work:
        inbox = Inbox("processor.orders", handlers(Simulated(1)), work)
        await inbox.take([event])
        await inbox.take([event])
        async with work.engine.connect() as connection:
            decided = (await connection.execute(text("SELECT outcome FROM fulfilments"))).all()
            [(payload, cause)] = await connection.execute(
                text("SELECT payload::text, causation_id FROM outbox")
            )
    assert decided == [("COMPLETED",)]
    answer = OrderProcessed.parse(payload.encode())
    assert (answer.order_id, answer.outcome, cause) == (placed.order_id, "COMPLETED", str(event.id))
