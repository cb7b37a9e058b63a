"""The outcome of a search for a table. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from contracts.bookings import Rejection
from service_processor.seating.allocation import Obstacle


@dataclass(frozen=True, slots=True)
class Decision:
    """The allocated table, or one obstacle for each table that is big enough."""

    table_id: int | None
    obstacles: Sequence[Obstacle] = ()

    @property
    def outcome(self) -> Literal["CONFIRMED", "REJECTED"]:
        return "REJECTED" if self.table_id is None else "CONFIRMED"

    @property
    def reason(self) -> Rejection | None:
        """Why the booking is rejected; None for a confirmed one."""
        if self.table_id is not None:
            return None
        return "no table free" if self.obstacles else "no table big enough"
