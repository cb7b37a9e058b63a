"""Fulfils orders, at once or after a processing time, and undoes it when they are cancelled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

from contracts.orders import OrderCancelled, OrderCreated, OrderProcessed, OrderProcessingStarted
from outbox import Envelope, UnitOfWork
from service_processor.domains.orders import repository
from service_processor.domains.orders.models import OrderDecision
from service_processor.domains.orders.policy import Delay, FulfilmentPolicy


@dataclass(frozen=True, slots=True)
class Fulfilment:
    """A policy and its processing time."""

    policy: FulfilmentPolicy
    delay: Delay = field(default_factory=Delay)

    async def fulfil(
        self, unit: UnitOfWork, orders: Sequence[OrderCreated], causes: Sequence[Envelope]
    ) -> None:
        """Decide, store the decisions, and answer now or when the processing time is over."""
        now = datetime.now(UTC)
        decisions = await self.policy.decide(unit, orders)
        decided = [
            OrderDecision(
                order.order_id,
                decision.outcome,
                decision.reason,
                now + self.delay.of(order.order_id),
            )
            for order, decision in zip(orders, decisions, strict=True)
        ]
        await repository.record(unit, decided)
        for decision, cause in zip(decided, causes, strict=True):
            await self._answer(unit.caused_by(cause), decision, now)

    async def _answer(self, unit: UnitOfWork, decided: OrderDecision, now: datetime) -> None:
        if decided.processed_at == now:
            await unit.emit(_processed(decided))
            return
        await unit.emit(OrderProcessingStarted(order_id=decided.order_id, started_at=now))
        key = _end_of(decided.order_id)
        await unit.schedule(_processed(decided), key=key, at=decided.processed_at)

    async def undo(self, unit: UnitOfWork, cancelled: Sequence[OrderCancelled]) -> None:
        """Release what was reserved under any policy, and unschedule answers."""
        at = {order.order_id: order.cancelled_at for order in cancelled}
        await unit.unschedule(*map(_end_of, at))
        await repository.release(unit, at)
        await repository.record_cancellations(unit, at)


def _end_of(order_id: UUID) -> str:
    return f"order/{order_id}/processed"


def _processed(decided: OrderDecision) -> OrderProcessed:
    return OrderProcessed(
        order_id=decided.order_id,
        outcome=decided.outcome,
        reason=decided.reason,
        processed_at=decided.processed_at,
    )
