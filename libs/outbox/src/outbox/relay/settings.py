"""What can be set on a relay."""

from __future__ import annotations

from dataclasses import dataclass

from outbox.relay.publisher import CONFIRM_TIMEOUT


@dataclass(frozen=True, slots=True)
class RelaySettings:
    """Times are in seconds."""

    window: int = 500
    poll_first: float = 0.05
    poll_ceiling: float = 1.0
    confirm_timeout: float = CONFIRM_TIMEOUT
    topology_check: float = 30.0
    full_look: float = 5.0
    lanes: int | None = None
    """If given, must equal the number in the database."""
