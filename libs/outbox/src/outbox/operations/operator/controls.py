"""Pause, throttle and resume, written down with who ordered it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from outbox.errors import NotThere
from outbox.operations import controls
from outbox.operations.controls import Control, OfRelay, Target
from outbox.operations.database import Connection
from outbox.operations.known_names import unknown_name
from outbox.operations.operator.record import Change, Record
from outbox.worker import Application


@dataclass(frozen=True, slots=True)
class Controls:
    """The controls of one database's queues and relays."""

    connection: Connection
    record: Record
    application: Application | None = None

    async def list(self) -> Sequence[Control]:
        """All that hold now, in the order of their names."""
        return await controls.controls(self.connection)

    async def unknown(self, target: Target) -> str | None:
        """What is wrong with a target's name, with the names that exist; None if it is known."""
        return await unknown_name(self.connection, target, self.application)

    async def pause(
        self,
        target: Target,
        *,
        why: str = "",
        seconds: float | None = None,
        unknown: bool = False,
    ) -> None:
        """Let nothing pass until it is resumed, or until so many seconds are over.

        Raises `NotThere` for a name that nothing knows, unless it may be `unknown`.
        """
        await self._check(target, unknown)
        who = self.record.actor.name
        async with self._change("pause", target, why) as change:
            change.detail = None if seconds is None else f"for {seconds:g} s"
            await controls.pause(self.connection, target, by=who, why=why, seconds=seconds)

    async def throttle(
        self,
        target: Target,
        rate: float,
        *,
        why: str = "",
        seconds: float | None = None,
        unknown: bool = False,
    ) -> None:
        """Let at most so many events a second pass in each process. Raises as `pause` does."""
        await self._check(target, unknown)
        who = self.record.actor.name
        async with self._change("throttle", target, why) as change:
            change.detail = f"{rate:g} a second" + (
                "" if seconds is None else f" for {seconds:g} s"
            )
            await controls.throttle(self.connection, target, rate, by=who, why=why, seconds=seconds)

    async def resume(self, target: Target, *, note: str = "") -> bool:
        """End a pause or a throttle; false if there was none."""
        async with self._change("resume", target, note) as change:
            resumed = await controls.resume(self.connection, target)
            change.detail = None if resumed else "there was nothing to end"
        return resumed

    async def _check(self, target: Target, unknown: bool) -> None:
        """No process would obey a mistyped name, and nobody would notice."""
        wrong = None if unknown else await self.unknown(target)
        if wrong is not None:
            raise NotThere(wrong)

    def _change(self, what: str, target: Target, note: str) -> AbstractAsyncContextManager[Change]:
        return self.record.change(what, described(target), note=note, one_transaction=True)


def described(target: Target) -> str:
    """The target in words."""
    if isinstance(target, OfRelay):
        return f"relay {target.name}"
    return f"queue {target.name}" + (f" {target.type}" if target.type else "")
