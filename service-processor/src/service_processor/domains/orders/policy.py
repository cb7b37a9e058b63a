"""How an order is fulfilled, and how long that takes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from hashlib import blake2b
from typing import Protocol
from uuid import UUID

from contracts import OrderCreated, OrderOutcome
from outbox import UnitOfWork


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of an order, and why if it fails."""

    outcome: OrderOutcome
    reason: str | None = None


class FulfilmentPolicy(Protocol):
    """Decide about an order once, in the transaction that records the decision.

    What is reserved for it stands in `reserved_lines`: undoing is no business of the policy, which
    may be another one by then.
    """

    async def decide(self, unit: UnitOfWork, order: OrderCreated) -> Decision: ...


@dataclass(frozen=True, slots=True)
class Simulated:
    """Succeeds with a probability, decided by the order's id alone; holds nothing."""

    success_rate: float

    async def decide(self, unit: UnitOfWork, order: OrderCreated) -> Decision:  # noqa: ARG002
        """Completed for `success_rate` of all ids."""
        return self.outcome_of(order.order_id)

    def outcome_of(self, order_id: UUID) -> Decision:
        """The same for the same id, always."""
        if chance_of(order_id, "outcome") < self.success_rate:
            return Decision("COMPLETED")
        return Decision("FAILED", "simulated failure")


@dataclass(frozen=True, slots=True)
class Delay:
    """How long processing takes: between two bounds, in seconds, decided by the order's id."""

    minimum: float = 0.0
    maximum: float = 0.0

    def of(self, order_id: UUID) -> timedelta:
        """The same for the same id, always."""
        spread = self.maximum - self.minimum
        return timedelta(seconds=self.minimum + spread * chance_of(order_id, "delay"))


def chance_of(order_id: UUID, question: str) -> float:
    """A number from 0 up to 1 that belongs to an id and a question, evenly spread over ids."""
    digest = blake2b(order_id.bytes, digest_size=8, person=question.encode()).digest()
    return int.from_bytes(digest, "big") / 2**64
