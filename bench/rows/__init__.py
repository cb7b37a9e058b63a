"""Every row by its name, in the order of the table. A row is a module with `run(bench)`."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Protocol

from bench.figures import Bench, Figure
from bench.rows import drain, held_snapshot, relays


class Row(Protocol):
    """Its docstring's first line says what it measures."""

    __doc__: str | None

    def run(self, bench: Bench) -> Awaitable[list[Figure]]: ...


ROWS: dict[str, Row] = {"drain": drain, "held": held_snapshot, "relays": relays}
BY_DEFAULT = tuple(ROWS)
