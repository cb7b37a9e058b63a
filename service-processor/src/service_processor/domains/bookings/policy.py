"""What a search for a table comes to. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from contracts import Rejection
from service_processor.seating.allocation import Obstacle


@dataclass(frozen=True, slots=True)
class Decision:
    """A table, or the reason why there is none and what stood in the way at each that fits."""

    table_id: int | None
    obstacles: Sequence[Obstacle] = ()

    @property
    def outcome(self) -> Literal["CONFIRMED", "REJECTED"]:
        return "REJECTED" if self.table_id is None else "CONFIRMED"

    @property
    def reason(self) -> Rejection | None:
        """None for a confirmed booking. Whoever refuses has looked at every table that fits."""
        if self.table_id is not None:
            return None
        return "no table free" if self.obstacles else "no table big enough"
