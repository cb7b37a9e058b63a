"""Pause, throttle and resume a relay, a queue, or an event type of a queue."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from fastapi import HTTPException

from outbox.console.actions import Proposal
from outbox.console.view import View
from outbox.errors import ChangedSince
from outbox.inbox.parked_rows import Preview
from outbox.operations.controls import Control, OfQueue, OfRelay, Target
from outbox.operations.operator import Operator


def _target(target: str, type_: str) -> Target:
    kind, _, name = target.partition(":")
    if kind == "relay" and name and not type_:
        return OfRelay(name)
    if kind == "queue" and name:
        return OfQueue(name, type_)
    raise HTTPException(422, "Say which: a relay, a queue, or an event type of a queue.")


@dataclass(frozen=True, slots=True)
class _OfTarget:
    target: Target

    @property
    def words(self) -> str:
        """The target in words."""
        if isinstance(self.target, OfRelay):
            return f"the relays of {self.target.name}"
        return f"{self.target.type} of {self.target.name}" if self.target.type else self.target.name

    async def current(self, operator: Operator) -> tuple[Control | None, Preview]:
        """What holds for it now, and the same as something that was seen."""
        type_ = self.target.type if isinstance(self.target, OfQueue) else ""
        ordered = await operator.controls.list()
        same = (one for one in ordered if (one.target, one.type) == (self.target.name, type_))
        held = next(same, None)
        digest = f"{held.does} since {held.since.isoformat()}" if held else "nothing is ordered"
        return held, Preview(0, 0, 0, datetime.now(UTC), digest)

    async def check(self, operator: Operator, seen: Preview | None) -> None:
        """Raises `ChangedSince` if something else is ordered by now."""
        _, now = await self.current(operator)
        if seen is None or not seen.is_same(now):
            raise ChangedSince(seen, now)

    def back(self, view: View, service: str) -> str:  # noqa: ARG002 the page has all services
        """See `Action`."""
        return view.path_for("overview")


@dataclass(frozen=True, slots=True)
class Order(_OfTarget):
    """Pause it, or throttle it to `rate` events a second, for so many minutes or without an end."""

    rate: float | None
    minutes: float | None

    @classmethod
    def of(
        cls,
        target: str,
        type: str = "",
        rate: str = "",
        minutes: str = "",
    ) -> Order:
        """From a query; an empty `rate` is a pause, and without `minutes` it does not end."""
        return cls(
            _target(target, type), _above_zero("rate", rate), _above_zero("minutes", minutes)
        )

    async def propose(self, operator: Operator) -> Proposal:
        """See `Action`."""
        wrong = await operator.controls.unknown(self.target)
        held, seen = await self.current(operator)
        says = (
            f"{self.words}: {_effect(self.target, self.rate)}",
            f"It ends by itself after {self.minutes:g} minutes."
            if self.minutes
            else "It ends when somebody resumes it.",
            f"Now it is {held}." if held else "Now nothing is ordered for it.",
            *([f"But {wrong}."] if wrong else []),
        )
        verb = "Throttle" if self.rate else "Pause"
        return Proposal(f"{verb} {self.words}", says, "" if wrong else verb, seen)

    async def run(self, operator: Operator, seen: Preview | None, note: str) -> str:
        """See `Action`."""
        await self.check(operator, seen)
        seconds = self.minutes * 60 if self.minutes else None
        controls = operator.controls
        if self.rate:
            await controls.throttle(self.target, self.rate, why=note, seconds=seconds)
            return f"{self.words}: throttled to {self.rate:g} events a second."
        await controls.pause(self.target, why=note, seconds=seconds)
        return f"{self.words}: paused."


@dataclass(frozen=True, slots=True)
class Resume(_OfTarget):
    """End a pause or a throttle."""

    @classmethod
    def of(cls, target: str, type: str = "") -> Resume:
        """From a query."""
        return cls(_target(target, type))

    async def propose(self, operator: Operator) -> Proposal:
        """See `Action`."""
        held, seen = await self.current(operator)
        if held is None:
            return Proposal(f"Resume {self.words}", ("Nothing is ordered for it any more.",), "")
        says = (f"It is {held}.", "What waits goes on at once, at full speed and in order.")
        return Proposal(f"Resume {self.words}", says, "Resume", seen)

    async def run(self, operator: Operator, seen: Preview | None, note: str) -> str:
        """See `Action`."""
        await self.check(operator, seen)
        await operator.controls.resume(self.target, note=note)
        return f"{self.words}: resumed."


def _effect(target: Target, rate: float | None) -> str:
    if rate:
        return f"at most {rate:g} events a second pass in each process. The others wait in order."
    if isinstance(target, OfRelay):
        return "nothing is published; writers go on writing, and the outbox table grows."
    if target.type:
        return "its events are parked without an attempt, and their followers wait behind them."
    return "no event is received and none is retried; its messages wait in the queue."


def _above_zero(name: str, text: str) -> float | None:
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e9:
        raise HTTPException(422, f"{name} has to be above 0.")
    return value
