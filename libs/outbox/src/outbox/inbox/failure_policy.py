"""What is done when a handler raises: the event is retried, parked for a person, or discarded.

Invariant: the nearest class of the error decides; where the handler and the consumer both name it,
the handler's rule does. So a rule for `Exception` never hides one for a class below it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, get_args

from sqlalchemy.exc import DBAPIError

from outbox.argument_checks import instance, named, ordered, seconds
from outbox.delays import doubling, with_jitter
from outbox.errors import InvalidSetting
from outbox.failures import unreadable_errors

DAY = 86_400.0
Reason = Literal["failed", "unreadable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """Try the event again by itself, at growing distance. Times are in seconds."""

    base: float = 1.0
    """The longest wait after the first failure; each further one is twice as long."""
    ceiling: float = 300.0
    deadline: float | None = DAY
    """The last attempt is made so long after the first failure, then the event waits for a person.
    None: it is retried without end."""

    def __post_init__(self) -> None:
        """Raises `InvalidSetting`."""
        seconds(self, "base", "ceiling")
        ordered(self, "base", "ceiling")
        if self.deadline is not None:
            seconds(self, "deadline")

    def delay(self, failed: int) -> float:
        """Seconds to wait after this many failures: half to all of what has grown until then."""
        return with_jitter(doubling(failed - 1, base=self.base, ceiling=self.ceiling))


@dataclass(frozen=True, slots=True)
class Park:
    """Do not try the event again: it waits for a person, and its stream waits behind it."""

    reason: Reason = "failed"
    """`unreadable` for an error that means that the body cannot be read."""

    def __post_init__(self) -> None:
        """Raises `InvalidSetting`."""
        if self.reason not in get_args(Reason):
            allowed = " or ".join(map(repr, get_args(Reason)))
            raise InvalidSetting("Park.reason", f"has to be {allowed}, not {self.reason!r}")


@dataclass(frozen=True, slots=True)
class Discard:
    """Give up the event: its stream goes on, and `inbox_discarded` keeps it with error and note."""

    note: str
    """Why this error needs no person."""

    def __post_init__(self) -> None:
        """Raises `InvalidSetting`."""
        named("Discard.note", self.note)


Reaction = Retry | Park | Discard
Failures = Mapping[type[Exception], Reaction]
"""What is done, by the class of the error.

failures = {httpx.TransportError: Retry(ceiling=30), CardExpired: Discard("the user was told")}
"""
NO_RULES: Failures = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class FailurePolicy:
    """The rules of one consumer: its own, and those of its handlers by event type."""

    failures: Failures = field(default_factory=dict)
    by_type: Mapping[str, Failures] = field(default_factory=dict)

    def reaction_to(self, problem: BaseException, event_type: str) -> Reaction:
        """What is done with an event of this type; without a rule of its own it is retried.

        Of an exception group the first member decides.
        """
        while isinstance(problem, BaseExceptionGroup):
            problem = problem.exceptions[0]
        own = self.by_type.get(event_type, {})
        for kind in _classes(problem):
            found = own.get(kind) or self.failures.get(kind)
            if found is not None:
                return found
            if kind in unreadable_errors():
                return Park("unreadable")
        return Retry()


def check_failures(where: str, failures: object) -> None:
    """Raises `InvalidSetting` for what is no mapping of exception classes to reactions."""
    instance(where, failures, Mapping)
    assert isinstance(failures, Mapping)
    for kind, reaction in failures.items():
        if not isinstance(kind, type) or not issubclass(kind, Exception):
            raise InvalidSetting(where, f"has to be by class of exception, not by {kind!r}")
        instance(f"{where}: {kind.__name__}", reaction, Retry, Park, Discard)


def _classes(problem: BaseException) -> list[type]:
    """The classes of an error from the nearest on; first those of the driver's that it wraps."""
    wrapped = problem.orig if isinstance(problem, DBAPIError) else None
    drivers = type(wrapped).__mro__ if wrapped else ()
    return [*(kind for kind in drivers if not isinstance(problem, kind)), *type(problem).__mro__]
