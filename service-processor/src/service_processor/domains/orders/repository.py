"""The statements of fulfilment."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from service_processor.domains.orders.models import fulfilments
from service_processor.domains.orders.policy import Decision


async def record(
    connection: AsyncConnection, order_id: UUID, decision: Decision, at: datetime
) -> None:
    """Keep what was decided; a second decision about an order is a bug, and fails."""
    row = {
        "order_id": order_id,
        "outcome": decision.outcome,
        "reason": decision.reason,
        "processed_at": at,
    }
    await connection.execute(insert(fulfilments), row)
