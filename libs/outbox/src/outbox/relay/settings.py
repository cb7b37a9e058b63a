"""The settings of a relay."""

from __future__ import annotations

from dataclasses import dataclass

from outbox.argument_checks import counts, ordered, seconds, seconds_or_zero


@dataclass(frozen=True, slots=True)
class RelaySettings:
    """Times are in seconds."""

    window: int = 1000
    """Events in one write, and in one marking statement."""
    windows_in_flight: int = 3
    poll_first: float = 0.05
    poll_ceiling: float = 1.0
    confirm_timeout: float = 10.0
    """Without a confirm for this long the lanes are released, unless the broker is blocked."""
    drain_within: float = 5.0
    """How long a relay that is told to stop waits for what is in flight."""
    topology_check: float = 10.0
    rescan_interval: float = 5.0
    beacon_every: float = 60.0
    """How often beacons are published while events are; 0 is never."""
    lanes: int | None = None
    """If given, must equal the number in the database."""
    frames: bool = True
    """Whether to write ready frames. Without them `exchange.publish` is used, which is slower."""

    def __post_init__(self) -> None:
        """Raises `InvalidSetting`."""
        counts(self, "window", "windows_in_flight")
        seconds(self, "poll_first", "poll_ceiling", "confirm_timeout", "drain_within")
        seconds(self, "topology_check", "rescan_interval")
        seconds_or_zero(self, "beacon_every")
        ordered(self, "poll_first", "poll_ceiling")
        if self.lanes is not None:
            counts(self, "lanes")
