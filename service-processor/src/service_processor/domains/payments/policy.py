"""Decides the next step of the payment of a rental. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never
from uuid import UUID


class Step(StrEnum):
    """What the provider is asked to do."""

    HOLD = "hold"
    CLEAR = "clear"
    RELEASE = "release"


class Outcome(StrEnum):
    """The outcome of a step."""

    DONE = "done"
    DECLINED = "declined"


@dataclass(frozen=True, slots=True)
class Payment:
    """The state of the payment of a rental; amounts are whole units.

    `total` is None while the ride lasts; `hold`, `clear` and `release` while they have no outcome.
    """

    rental_id: UUID
    user_id: str
    deposit: int
    total: int | None = None
    hold: Outcome | None = None
    clear: Outcome | None = None
    release: Outcome | None = None


def next_step(payment: Payment) -> Step | None:
    """The step whose outcome is awaited; None while the ride lasts, or when all is done.

    A deposit that is held is given back when nothing was taken: the ride cost nothing, or the
    provider declined to take the total.
    """
    if payment.hold is None:
        return Step.HOLD
    if payment.hold is Outcome.DECLINED or payment.total is None:
        return None
    if payment.clear is None:
        return Step.CLEAR
    nothing_taken = payment.total == 0 or payment.clear is Outcome.DECLINED
    if nothing_taken and payment.deposit and payment.release is None:
        return Step.RELEASE
    return None


def amount_of(payment: Payment, step: Step) -> int:
    """The amount that a step moves. For 0 the provider is not asked."""
    match step:
        case Step.HOLD | Step.RELEASE:
            return payment.deposit
        case Step.CLEAR:
            return payment.total or 0
        case _:
            assert_never(step)
