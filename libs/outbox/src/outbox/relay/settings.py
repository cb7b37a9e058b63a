"""What can be set on a relay."""

from __future__ import annotations

from dataclasses import dataclass

from outbox.argument_checks import counts, ordered, seconds


@dataclass(frozen=True, slots=True)
class RelaySettings:
    """Times are in seconds."""

    window: int = 1000
    """Events in one write, and in one marking statement."""
    windows_in_flight: int = 3
    poll_first: float = 0.05
    poll_ceiling: float = 1.0
    confirm_timeout: float = 10.0
    """Without any confirm for so long, and the broker not blocked, the lanes are given up."""
    drain_within: float = 5.0
    """When told to stop: how long to wait for what is under way."""
    topology_check: float = 10.0
    rescan_interval: float = 5.0
    lanes: int | None = None
    """If given, must equal the number in the database."""
    frames: bool = True
    """Whether to write ready frames; if not, or if that cannot be had, `exchange.publish`."""

    def __post_init__(self) -> None:
        """Raises `InvalidSetting`."""
        counts(self, "window", "windows_in_flight")
        seconds(self, "poll_first", "poll_ceiling", "confirm_timeout", "drain_within")
        seconds(self, "topology_check", "rescan_interval")
        ordered(self, "poll_first", "poll_ceiling")
        if self.lanes is not None:
            counts(self, "lanes")
