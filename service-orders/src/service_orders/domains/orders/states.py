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


class IllegalTransition(ValueError):
    """An order is asked to go where its status does not lead."""

    def __init__(self, current: OrderStatus, target: OrderStatus) -> None:
        self.current, self.target = current, target
        self.allowed = sorted(ALLOWED[current])
        super().__init__(f"An order that is {current} cannot become {target}.")


def move(current: OrderStatus, target: OrderStatus) -> OrderStatus:
    """The new status. Raises `IllegalTransition`."""
    if not may_move(current, target):
        raise IllegalTransition(current, target)
    return target


def may_move(current: OrderStatus, target: OrderStatus) -> bool:
    """Whether an order may go from one status to the other."""
    return target in ALLOWED[current]


def is_terminal(status: OrderStatus) -> bool:
    """Whether an order stays as it is for ever."""
    return not ALLOWED[status]
