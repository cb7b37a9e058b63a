"""What events of service-orders make us do."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from contracts import OrderCreated, OrderProcessed
from outbox import Envelope, Handler, UnitOfWork
from service_processor.domains.orders import repository
from service_processor.domains.orders.policy import FulfilmentPolicy


def handlers(policy: FulfilmentPolicy) -> Mapping[str, Handler]:
    """Handlers by event type."""

    async def on_created(unit: UnitOfWork, event: Envelope) -> None:
        """Decide, record, answer."""
        order, now = OrderCreated.parse(event.payload), datetime.now(UTC)
        decision = policy.decide(order)
        await repository.record(unit.connection, order.order_id, decision, now)
        await unit.emit(
            OrderProcessed(
                order_id=order.order_id,
                outcome=decision.outcome,
                reason=decision.reason,
                processed_at=now,
            )
        )

    return {OrderCreated.type: on_created}
