"""The lifecycle of an order."""

from __future__ import annotations

from enum import StrEnum

from servicekit.service.lifecycle import Lifecycle


class OrderStatus(StrEnum):
    CREATED = "CREATED"
    IN_PROGRESS = "IN_PROGRESS"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


_OUTCOMES = frozenset({OrderStatus.COMPLETED, OrderStatus.FAILED, OrderStatus.CANCELLED})

LIFECYCLE = Lifecycle(
    "order",
    {
        OrderStatus.CREATED: _OUTCOMES | {OrderStatus.IN_PROGRESS},
        OrderStatus.IN_PROGRESS: _OUTCOMES,
        OrderStatus.COMPLETED: frozenset(),
        OrderStatus.FAILED: frozenset(),
        OrderStatus.CANCELLED: frozenset(),
    },
)
