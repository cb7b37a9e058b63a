"""Fulfils orders, at once or after a processing time, and undoes it when they are cancelled."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

from contracts.orders import OrderCancelled, OrderCreated, OrderProcessed, OrderProcessingStarted
from outbox import UnitOfWork
from service_processor.domains.orders import repository
from service_processor.domains.orders.policy import Decision, Delay, FulfilmentPolicy


@dataclass(frozen=True, slots=True)
class Fulfilment:
    """A policy and its processing time."""

    policy: FulfilmentPolicy
    delay: Delay = field(default_factory=Delay)

    async def fulfil(self, unit: UnitOfWork, order: OrderCreated) -> None:
        """Decide, store the decision, and answer now or when the processing time is over."""
        now, delay = datetime.now(UTC), self.delay.of(order.order_id)
        decision = await self.policy.decide(unit, order)
        await repository.record(unit.connection, order.order_id, decision, now + delay)
        answer = _processed(order.order_id, decision, now + delay)
        if delay:
            await unit.emit(OrderProcessingStarted(order_id=order.order_id, started_at=now))
            await unit.schedule(answer, key=_end_of(order.order_id), at=now + delay)
        else:
            await unit.emit(answer)

    async def undo(self, unit: UnitOfWork, cancelled: OrderCancelled) -> None:
        """Release what was reserved under any policy, and cancel an answer that is scheduled."""
        await unit.unschedule(_end_of(cancelled.order_id))
        await repository.release(unit.connection, cancelled.order_id)
        await repository.record_cancellation(
            unit.connection, cancelled.order_id, cancelled.cancelled_at
        )


def _end_of(order_id: UUID) -> str:
    return f"order/{order_id}/processed"


def _processed(order_id: UUID, decision: Decision, at: datetime) -> OrderProcessed:
    return OrderProcessed(
        order_id=order_id, outcome=decision.outcome, reason=decision.reason, processed_at=at
    )
