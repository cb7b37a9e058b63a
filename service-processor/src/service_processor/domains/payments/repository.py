"""The statements of payments; each is built here and run in the caller's transaction."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from service_processor.domains.payments.models import payments
from service_processor.domains.payments.policy import Outcome, Payment, Step


async def add(connection: AsyncConnection, payment: Payment, at: datetime) -> None:
    """Begin to keep the money of a rental; one that is known already stays as it is."""
    row = insert(payments).values(
        rental_id=payment.rental_id,
        user_id=payment.user_id,
        deposit=payment.deposit,
        updated_at=at,
    )
    await connection.execute(row.on_conflict_do_nothing())


async def locked(connection: AsyncConnection, rental_id: UUID) -> Payment | None:
    """The money of a rental, which nobody else changes until this transaction ends."""
    columns = (payments.c[field] for field in Payment.__slots__)
    found = select(*columns).where(payments.c.rental_id == rental_id).with_for_update()
    row = (await connection.execute(found)).one_or_none()
    if row is None:
        return None
    outcomes = {step: value and Outcome(value) for step in Step if (value := row._mapping[step])}
    return Payment(**{**row._mapping, **outcomes})


async def set_total(connection: AsyncConnection, rental_id: UUID, total: int, at: datetime) -> None:
    """The ride is over."""
    await connection.execute(
        update(payments).where(payments.c.rental_id == rental_id).values(total=total, updated_at=at)
    )


async def set_outcome(
    connection: AsyncConnection, rental_id: UUID, step: Step, outcome: Outcome, at: datetime
) -> None:
    """Record what came of a step."""
    await connection.execute(
        update(payments)
        .where(payments.c.rental_id == rental_id)
        .values({payments.c[step.value]: outcome.value, payments.c.updated_at: at})
    )
