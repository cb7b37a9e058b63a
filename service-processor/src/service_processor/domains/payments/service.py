"""Moves payments from step to step; the caller has begun the transaction.

Invariant: a step has one outcome, which is stored with its event. The job of a step has the key
`{rental}:{step}`, which is also the provider's idempotency key, so that a step is done once there.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from contracts import Contract
from contracts.rentals import (
    PaymentClearDeclined,
    PaymentCleared,
    PaymentDeclined,
    PaymentHeld,
    PaymentReleased,
    RentalFinished,
    RentalStarted,
)
from outbox import UnitOfWork, jobs
from service_processor.domains.payments import metrics, repository
from service_processor.domains.payments.policy import (
    Outcome,
    Payment,
    Step,
    amount_of,
    next_step,
)


async def started(unit: UnitOfWork, event: RentalStarted) -> None:
    """Ask the provider to hold the deposit."""
    payment = Payment(event.rental_id, event.user_id, event.deposit)
    await repository.add(unit.connection, payment, datetime.now(UTC))
    await _go_on(unit, await repository.ROWS.lock(unit.connection, event.rental_id))


async def finished(unit: UnitOfWork, event: RentalFinished) -> None:
    """Ask the provider to take the total. Raises `PaymentNotFound`."""
    payment = await repository.ROWS.lock(unit.connection, event.rental_id)
    if payment.total is None:
        now, total = datetime.now(UTC), event.total_amount
        await repository.set_total(unit.connection, event.rental_id, total, now)
        await _go_on(unit, replace(payment, total=total))


async def ended(unit: UnitOfWork, rental_id: UUID, step: Step, outcome: Outcome) -> None:
    """Store the outcome of a step, and go on. Raises `PaymentNotFound`."""
    payment = await repository.ROWS.lock(unit.connection, rental_id)
    if next_step(payment) is step:
        await _go_on(unit, await _record(unit, payment, step, outcome))


async def _go_on(unit: UnitOfWork, payment: Payment) -> None:
    """Record steps that move nothing, and enqueue the first one that needs the provider."""
    step = next_step(payment)
    while step is not None and amount_of(payment, step) == 0:
        payment = await _record(unit, payment, step, Outcome.DONE)
        step = next_step(payment)
    if step is not None:
        await _ask(unit, payment, step)


async def _ask(unit: UnitOfWork, payment: Payment, step: Step) -> None:
    order = {
        "user_id": payment.user_id,
        "order_id": str(payment.rental_id),
        "amount": amount_of(payment, step),
    }
    key = f"{payment.rental_id}:{step}"
    await jobs.enqueue(unit, f"payment.{step}", key=key, payload=order)


async def _record(unit: UnitOfWork, payment: Payment, step: Step, outcome: Outcome) -> Payment:
    now = datetime.now(UTC)
    await repository.set_outcome(unit.connection, payment.rental_id, step, outcome, now)
    metrics.STEPS.labels(step.value, outcome.value).inc()
    if event := _event(payment, step, outcome, now):
        await unit.emit(event)
    outcomes: dict[str, Any] = {step.value: outcome}
    return replace(payment, **outcomes)


def _event(payment: Payment, step: Step, outcome: Outcome, at: datetime) -> Contract | None:
    id_, amount = payment.rental_id, amount_of(payment, step)
    match step, outcome:
        case Step.HOLD, Outcome.DONE:
            return PaymentHeld(rental_id=id_, amount=amount, held_at=at)
        case Step.HOLD, Outcome.DECLINED:
            return PaymentDeclined(rental_id=id_, amount=amount, declined_at=at)
        case Step.CLEAR, Outcome.DONE:
            return PaymentCleared(rental_id=id_, amount=amount, cleared_at=at)
        case Step.CLEAR, Outcome.DECLINED:
            return PaymentClearDeclined(rental_id=id_, amount=amount, declined_at=at)
        case Step.RELEASE, Outcome.DONE:
            return PaymentReleased(rental_id=id_, amount=amount, released_at=at)
        case _:  # a declined release: a person has to settle it with the provider
            return None
