"""How orders are fulfilled."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text
from uuid_utils.compat import uuid7

from contracts import Contract
from contracts.orders import OrderCancelled, OrderCreated, OrderedProduct, OrderProcessed
from outbox import Envelope, Inbox, Stream, Work
from service_processor.domains.orders.handlers import handlers
from service_processor.domains.orders.policy import Delay, Simulated
from service_processor.domains.orders.service import Fulfilment


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
    assert len({Simulated(0.5).outcome_of(placed.order_id) for _ in range(20)}) == 1


@pytest.mark.parametrize(("rate", "completed"), [(0.0, 0), (1.0, 2000)])
def test_a_certain_rate_leaves_nothing_to_chance(rate: float, completed: int) -> None:
    assert completions(rate) == completed


def test_orders_succeed_at_about_the_rate() -> None:
    assert 1500 < completions(0.8) < 1700


def completions(rate: float) -> int:
    decisions = (Simulated(rate).outcome_of(UUID(int=number)) for number in range(2000))
    return sum(decision.outcome == "COMPLETED" for decision in decisions)


def test_a_failure_says_why() -> None:
    assert Simulated(0).outcome_of(uuid4()).reason == "simulated failure"


def delivered(event: Contract, sequence: int = 1) -> Envelope:
    stream = Stream("service-orders", "order", event.aggregate_id)
    return Envelope(
        uuid7(), stream, sequence, event.type, 1, datetime.now(UTC), event.payload(), "c"
    )


async def rows(work: Work, query: str) -> list[Any]:
    async with work.engine.connect() as connection:
        return list((await connection.execute(text(query))).all())


def inbox(work: Work, fulfilment: Fulfilment) -> Inbox:
    return Inbox("processor.orders", handlers(fulfilment), work)


async def test_an_order_delivered_twice_is_decided_and_answered_once(work: Work) -> None:
    placed = order(uuid4())
    event = delivered(placed)
    taking = inbox(work, Fulfilment(Simulated(1)))
    await taking.handle([event])
    await taking.handle([event])
    assert await rows(work, "SELECT outcome FROM fulfilments") == [("COMPLETED",)]
    [(payload, cause)] = await rows(work, "SELECT payload::text, causation_id FROM outbox")
    answer = OrderProcessed.parse(payload.encode())
    assert (answer.order_id, answer.outcome, cause) == (placed.order_id, "COMPLETED", str(event.id))


async def test_processing_that_takes_time_is_announced_and_its_end_is_scheduled(work: Work) -> None:
    await inbox(work, Fulfilment(Simulated(1), Delay(60, 60))).handle([delivered(order(uuid4()))])
    assert await rows(work, "SELECT type FROM outbox") == [("order.processing_started",)]
    [(kind, due_in)] = await rows(
        work, "SELECT type, extract(epoch FROM due_at - now())::int FROM outbox_scheduled"
    )
    assert kind == "order.processed"
    assert 55 <= due_in <= 60


async def test_a_cancelled_order_does_not_end_later(work: Work) -> None:
    placed = order(uuid4())
    cancelled = OrderCancelled(order_id=placed.order_id, cancelled_at=datetime.now(UTC))
    taking = inbox(work, Fulfilment(Simulated(1), Delay(60, 60)))
    await taking.handle([delivered(placed), delivered(cancelled, 2)])
    assert await rows(work, "SELECT count(*) FROM outbox_scheduled") == [(0,)]


@given(st.uuids())
def test_a_delay_lies_between_its_bounds(order_id: UUID) -> None:
    assert 1 <= Delay(1, 3).of(order_id).total_seconds() < 3.000001
