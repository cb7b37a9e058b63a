"""The statements of payments."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from service_processor.domains.payments.errors import PaymentNotFound
from service_processor.domains.payments.models import payments
from service_processor.domains.payments.policy import Outcome, Payment, Step
from servicekit.service.rows import Rows

ROWS = Rows[UUID, Payment](payments, Payment, PaymentNotFound)


async def add(connection: AsyncConnection, payment: Payment, at: datetime) -> None:
    """Store the payment of a rental; a known one stays as it is."""
    row = insert(payments).values(**ROWS.values(payment), updated_at=at)
    await connection.execute(row.on_conflict_do_nothing())


async def set_total(connection: AsyncConnection, rental_id: UUID, total: int, at: datetime) -> None:
    """Store the total of a finished ride."""
    await connection.execute(
        update(payments).where(payments.c.rental_id == rental_id).values(total=total, updated_at=at)
    )


async def set_outcome(
    connection: AsyncConnection, rental_id: UUID, step: Step, outcome: Outcome, at: datetime
) -> None:
    """Store the outcome of a step."""
    await connection.execute(
        update(payments)
        .where(payments.c.rental_id == rental_id)
        .values({payments.c[step.value]: outcome.value, payments.c.updated_at: at})
    )
