"""How an order is fulfilled. A policy decides the same each time it is asked about an order."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import Protocol
from uuid import UUID

from contracts import OrderCreated, OrderOutcome


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of an order, and why if it fails."""

    outcome: OrderOutcome
    reason: str | None = None


class FulfilmentPolicy(Protocol):
    """Return the same decision for the same order, however often it is asked."""

    def decide(self, order: OrderCreated) -> Decision: ...


@dataclass(frozen=True, slots=True)
class Simulated:
    """Succeeds with a probability, decided by the order's id alone."""

    success_rate: float

    def decide(self, order: OrderCreated) -> Decision:
        """Completed for `success_rate` of all ids."""
        if chance_of(order.order_id) < self.success_rate:
            return Decision("COMPLETED")
        return Decision("FAILED", "simulated failure")


def chance_of(order_id: UUID) -> float:
    """A number from 0 up to 1 that belongs to an id, evenly spread over ids."""
    digest = blake2b(order_id.bytes, digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64
