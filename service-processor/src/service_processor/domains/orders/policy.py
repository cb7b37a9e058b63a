"""How an order is fulfilled, and how long processing takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from hashlib import blake2b
from typing import Protocol
from uuid import UUID

from contracts.orders import OrderCreated, OrderOutcome
from outbox import UnitOfWork


@dataclass(frozen=True, slots=True)
class Decision:
    """The outcome of an order, and the reason if it fails."""

    outcome: OrderOutcome
    reason: str | None = None


class FulfilmentPolicy(Protocol):
    """Decides about each order once, in the transaction that stores the decisions.

    The decisions have the order of the orders; an earlier order is served first.

    What it reserves is in `reserved_lines`. A cancellation releases that without the policy,
    because another policy may be in use by then.
    """

    async def decide(
        self, unit: UnitOfWork, orders: Sequence[OrderCreated]
    ) -> Sequence[Decision]: ...


@dataclass(frozen=True, slots=True)
class Simulated:
    """Completes orders with a probability, decided by the order's id alone; reserves nothing."""

    success_rate: float

    async def decide(
        self,
        unit: UnitOfWork,  # noqa: ARG002
        orders: Sequence[OrderCreated],
    ) -> Sequence[Decision]:
        """Complete `success_rate` of all ids."""
        return [self.outcome_of(order.order_id) for order in orders]

    def outcome_of(self, order_id: UUID) -> Decision:
        """The decision; it depends on the id alone."""
        if chance_of(order_id, "outcome") < self.success_rate:
            return Decision("COMPLETED")
        return Decision("FAILED", "simulated failure")


@dataclass(frozen=True, slots=True)
class Delay:
    """The processing time: between two bounds in seconds, decided by the order's id."""

    minimum: float = 0.0
    maximum: float = 0.0

    def of(self, order_id: UUID) -> timedelta:
        """The delay of an order; it depends on the id alone."""
        spread = self.maximum - self.minimum
        return timedelta(seconds=self.minimum + spread * chance_of(order_id, "delay"))


def chance_of(order_id: UUID, question: str) -> float:
    """A number in [0, 1) for an id and a question, evenly distributed over ids."""
    digest = blake2b(order_id.bytes, digest_size=8, person=question.encode()).digest()
    return int.from_bytes(digest, "big") / 2**64
