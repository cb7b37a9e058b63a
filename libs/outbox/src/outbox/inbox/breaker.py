"""The circuit breaker: when the dependency of an event type is away, its events wait untried.

Invariant: a type trips only by many streams that fail with one cause, without a success of the
type. While it is tripped no attempt is counted: its events are parked as `tripped`, and what fails
nevertheless is too.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from outbox.argument_checks import counts, ordered, seconds
from outbox.delays import doubling, with_jitter
from outbox.event import Envelope, Stream
from outbox.fingerprints import Cause
from outbox.inbox.parked_rows import TRIPPED


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitBreaker:
    """When an event type trips, and how often one of its events is tried. Times are in seconds."""

    streams: int = 10
    """So many streams that fail with one cause trip the type, if it has no success meanwhile."""
    window: float = 600.0
    """Failures are counted together for so long."""
    base: float = 1.0
    """The longest wait before the first probe; each further one is twice as long."""
    ceiling: float = 30.0

    def __post_init__(self) -> None:
        """Raises `InvalidSetting`."""
        counts(self, "streams")
        seconds(self, "window", "base", "ceiling")
        ordered(self, "base", "ceiling")

    def delay(self, probes: int) -> float:
        """Seconds to wait after this many probes that failed."""
        return with_jitter(doubling(probes, base=self.base, ceiling=self.ceiling))


@dataclass(slots=True)
class _Failures:
    """The streams of one type that failed since its last success, by fingerprint."""

    began: float
    streams: dict[str, set[Stream]] = field(default_factory=dict)

    def add(self, fingerprint: str, stream: Stream) -> int:
        """How many streams have failed with this cause; 0 while most have failed with others."""
        same = self.streams.setdefault(fingerprint, set())
        same.add(stream)
        most = 2 * len(same) >= sum(map(len, self.streams.values()))
        return len(same) if most else 0


class Breaker:
    """A gate that closes the types that have tripped; see `outbox.inbox.gates`.

    What all processes know is in the table `inbox_tripped`; `outbox.inbox.prober` reads and writes
    it.
    """

    reason = TRIPPED

    def __init__(
        self, settings: CircuitBreaker | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.settings = settings
        self._clock = clock
        self._failures: dict[str, _Failures] = {}
        self._tripped: dict[str, str] = {}
        self._new: dict[str, Cause] = {}
        self._probed: tuple[Stream, int] | None = None
        self.changed = asyncio.Event()
        """Set when a type has tripped here."""

    @property
    def closed_types(self) -> Collection[str]:
        """The types that have tripped."""
        return self._tripped.keys()

    def closes(self, event: Envelope) -> str | None:
        """Why this event is not handled now; None if it may be, as the one that is a probe."""
        why = self._tripped.get(event.type)
        if why is None or self._probed == (event.stream, event.sequence):
            return None
        return why

    def failed(self, event: Envelope, cause: Cause) -> bool:
        """Count a failure that may heal by itself; whether it trips the type."""
        if self.settings is None or event.type in self._tripped:
            return False
        now, counted = self._clock(), self._failures.get(event.type)
        if counted is None or now - counted.began > self.settings.window:
            counted = self._failures[event.type] = _Failures(now)
        if counted.add(cause.fingerprint(event.type), event.stream) < self.settings.streams:
            return False
        self._new[event.type] = cause
        self._tripped[event.type] = _says(str(cause))
        del self._failures[event.type]
        self.changed.set()
        return True

    def succeeded(self, event_type: str) -> None:
        """A handler of this type returned: its dependency is there."""
        self._failures.pop(event_type, None)

    def newly_tripped(self) -> Mapping[str, Cause]:
        """The types that have tripped here and are not known to other processes."""
        return dict(self._new)

    def obey(self, causes: Mapping[str, str], known: Collection[str]) -> Collection[str]:
        """Close exactly these types, and what has tripped here since; returns what has opened.

        `known` are the types that other processes know by now.
        """
        for event_type in known:
            self._new.pop(event_type, None)
        before = set(self._tripped)
        self._tripped = {kind: _says(cause) for kind, cause in causes.items()}
        self._tripped |= {kind: _says(str(cause)) for kind, cause in self._new.items()}
        return before - set(self._tripped)

    @contextmanager
    def probing(self, stream: Stream, sequence: int) -> Iterator[None]:
        """Let one event pass."""
        self._probed = (stream, sequence)
        try:
            yield
        finally:
            self._probed = None


def _says(cause: str) -> str:
    return f"its type has tripped: {cause}"
