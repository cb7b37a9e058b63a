"""The outcome of a search for a table. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from contracts.bookings import Rejection
from service_processor.seating.free_tables import Allocation, Obstacle


@dataclass(frozen=True, slots=True)
class Decision:
    """The allocation, or one obstacle for each table that is big enough."""

    allocation: Allocation | None
    obstacles: Sequence[Obstacle] = ()

    @property
    def table_id(self) -> int | None:
        return None if self.allocation is None else self.allocation.table_id

    @property
    def outcome(self) -> Literal["CONFIRMED", "REJECTED"]:
        return "REJECTED" if self.allocation is None else "CONFIRMED"

    @property
    def reason(self) -> Rejection | None:
        """Why the booking is rejected; None for a confirmed one."""
        if self.allocation is not None:
            return None
        return "no table free" if self.obstacles else "no table big enough"
