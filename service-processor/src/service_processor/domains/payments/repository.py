"""The statements of payments."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from service_processor.domains.payments.models import payments
from service_processor.domains.payments.policy import Outcome, Payment, Step


async def add(connection: AsyncConnection, payment: Payment, at: datetime) -> None:
    """Store the payment of a rental; a known one stays as it is."""
    row = insert(payments).values(
        rental_id=payment.rental_id,
        user_id=payment.user_id,
        deposit=payment.deposit,
        updated_at=at,
    )
    await connection.execute(row.on_conflict_do_nothing())


async def locked(connection: AsyncConnection, rental_id: UUID) -> Payment | None:
    """The payment of a rental, locked until this transaction ends."""
    columns = (payments.c[field] for field in Payment.__slots__)
    found = select(*columns).where(payments.c.rental_id == rental_id).with_for_update()
    row = (await connection.execute(found)).one_or_none()
    if row is None:
        return None
    outcomes = {step: value and Outcome(value) for step in Step if (value := row._mapping[step])}
    return Payment(**{**row._mapping, **outcomes})


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
