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

from contracts.orders import (
    PROCESSOR_ORDERS,
    OrderCancelled,
    OrderCreated,
    OrderedProduct,
    OrderProcessed,
)
from kit.services.service import Service
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


async def scheduled(service: Service) -> list[Any]:
    """Type and seconds until it is due."""
    query = "SELECT type, extract(epoch FROM due_at - now())::int FROM outbox_scheduled"
    async with service.work.read() as connection:
        return list((await connection.execute(text(query))).all())


def fulfilled(service: Service, fulfilment: Fulfilment) -> Service:
    """The service with a policy of the test's."""
    return service.with_handlers(PROCESSOR_ORDERS.queue, handlers(fulfilment))


async def test_an_order_delivered_twice_is_decided_and_answered_once(service: Service) -> None:
    service = fulfilled(service, Fulfilment(Simulated(1)))
    placed = order(uuid4())
    [event] = service.envelopes(placed)
    for _ in range(2):
        assert await service.deliver(event) == []
    async with service.work.read() as connection:
        outcomes = await connection.execute(text("SELECT outcome FROM fulfilments"))
        assert outcomes.all() == [("COMPLETED",)]
    [sent] = await service.events()
    answer = OrderProcessed.from_envelope(sent)
    assert (answer.order_id, answer.outcome) == (placed.order_id, "COMPLETED")
    assert sent.causation_id == str(event.id)


async def test_orders_of_a_batch_are_decided_together_and_a_bad_one_fails_alone(
    service: Service,
) -> None:
    service = fulfilled(service, Fulfilment(Simulated(1)))
    orders = [order(uuid4()) for _ in range(5)]
    batch = service.envelopes(*orders)
    async with service.work.begin() as unit:  # its decision exists already, which is a bug
        values = {"id": orders[2].order_id}
        await unit.send(
            "INSERT INTO fulfilments (order_id, outcome, processed_at)"
            " VALUES (%(id)s, 'FAILED', now())",
            values,
        )
    [parked] = await service.deliver(*batch)
    assert parked.stream == batch[2].stream
    answers = await service.events()
    assert [one.aggregate_id for one in answers] == [
        str(placed.order_id) for placed in orders if placed is not orders[2]
    ]
    assert [one.causation_id for one in answers] == [
        str(event.id) for event in batch if event is not batch[2]
    ]


async def test_processing_that_takes_time_is_announced_and_its_end_is_scheduled(
    service: Service,
) -> None:
    service = fulfilled(service, Fulfilment(Simulated(1), Delay(60, 60)))
    await service.receive(order(uuid4()))
    assert [event.type for event in await service.events()] == ["order.processing_started"]
    [(kind, due_in)] = await scheduled(service)
    assert kind == "order.processed"
    assert 55 <= due_in <= 60


async def test_a_cancelled_order_does_not_end_later(service: Service) -> None:
    service = fulfilled(service, Fulfilment(Simulated(1), Delay(60, 60)))
    placed = order(uuid4())
    cancelled = OrderCancelled(order_id=placed.order_id, cancelled_at=datetime.now(UTC))
    await service.receive(placed, cancelled)
    assert await scheduled(service) == []


@given(st.uuids())
def test_a_delay_lies_between_its_bounds(order_id: UUID) -> None:
    assert 1 <= Delay(1, 3).of(order_id).total_seconds() < 3.000001
