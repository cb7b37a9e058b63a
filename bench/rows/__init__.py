"""Every row by its name, in the order of the table. A row is a module with `run(bench)`."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, Protocol

from bench.figures import Bench, Figure
from bench.rows import (
    audit,
    auditing,
    bookings,
    competing,
    consuming,
    drain,
    held_snapshot,
    latency,
    outage,
    pair,
    poison,
    post_orders,
    relays,
    rest,
    soak,
    tickets,
    transaction,
    waiting,
)


class Row(Protocol):
    """Its docstring's first line says what it measures."""

    __doc__: str | None

    def run(self, bench: Bench) -> Coroutine[Any, Any, list[Figure]]: ...


ROWS: dict[str, Row] = {
    "drain": drain,
    "held": held_snapshot,
    "relays": relays,
    "latency": latency,
    "transaction": transaction,
    "consuming": consuming,
    "waiting": waiting,
    "competing": competing,
    "audit": audit,
    "auditing": auditing,
    "poison": poison,
    "outage": outage,
    "post-orders": post_orders,
    "pair": pair,
    "rest": rest,
    "bookings": bookings,
    "tickets": tickets,
    "soak": soak,
}
BY_DEFAULT = tuple(ROWS)
