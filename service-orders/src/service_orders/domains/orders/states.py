"""The life of an order: a table and one function."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class OrderStatus(StrEnum):
    CREATED = "CREATED"
    IN_PROGRESS = "IN_PROGRESS"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


_OUTCOMES = frozenset({OrderStatus.COMPLETED, OrderStatus.FAILED, OrderStatus.CANCELLED})

ALLOWED: Mapping[OrderStatus, frozenset[OrderStatus]] = {
    OrderStatus.CREATED: _OUTCOMES | {OrderStatus.IN_PROGRESS},
    OrderStatus.IN_PROGRESS: _OUTCOMES,
    OrderStatus.COMPLETED: frozenset(),
    OrderStatus.FAILED: frozenset(),
    OrderStatus.CANCELLED: frozenset(),
}


def may_move(current: OrderStatus, target: OrderStatus) -> bool:
    """Whether an order may go from one status to the other."""
    return target in ALLOWED[current]


def is_terminal(status: OrderStatus) -> bool:
    """Whether an order stays as it is for ever."""
    return not ALLOWED[status]
