"""Processes that are restarted whenever they end, as by a supervisor, and killed on request."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from types import TracebackType
from typing import Self

from chaos.process import run

RESTART_DELAY = 0.1

# Most of a start is imports, and a run starts thousands of processes: all of them are forked from
# one that has imported everything and done nothing.
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["__main__", "chaos.process"])


@dataclass
class Slot:
    """One process at a time, of one role and one side."""

    role: str
    side: str
    log: Path
    environment: Mapping[str, str]
    free: asyncio.Event = field(default_factory=asyncio.Event)
    armed: str = ""
    killed: bool = False
    """Whether the run itself killed the current process."""
    process: ForkServerProcess | None = None

    def start(self) -> None:
        fault, self.armed, self.killed = self.armed, "", False
        environment = {**self.environment, "OUTBOX_FAILPOINT": fault}
        process = _FORKS.Process(
            target=run, args=(self.role, self.side, environment, str(self.log))
        )
        process.start()
        self.process = process  # from now on it has a pid that can be killed

    def send(self, what: signal.Signals) -> None:
        if self.process is not None and self.process.pid and self.process.exitcode is None:
            self.killed = True
            os.kill(self.process.pid, what)

    async def ended(self) -> int | None:
        """Wait for the end of the current process, if there is one; returns its status."""
        if self.process is None:
            return None
        while self.process.exitcode is None:  # noqa: ASYNC110 it happens in another process
            await asyncio.sleep(0.01)
        return self.process.exitcode


class Fleet:
    """All processes of a run. `ends` counts exit statuses by role and deaths by step."""

    def __init__(self, environment: Mapping[str, str], folder: Path) -> None:
        self._environment = {**environment, "APP_ENV": "test"}
        self._folder = folder
        self.slots: list[Slot] = []
        self.ends: Counter[str] = Counter()
        self._tasks: list[asyncio.Task[None]] = []

    def add(self, role: str, side: str, count: int, **environment: str) -> None:
        """Start `count` processes and keep them running."""
        for number in range(count):
            log = self._folder / f"{side}-{role}-{number}.log"
            slot = Slot(role, side, log, {**self._environment, **environment})
            slot.free.set()
            self.slots.append(slot)
            self._tasks.append(asyncio.create_task(self._keep(slot)))

    def of(self, role: str, side: str | None = None) -> list[Slot]:
        return [slot for slot in self.slots if slot.role == role and side in (None, slot.side)]

    async def arm(self, slots: Iterable[Slot], step: str, nth: int, *, within: float) -> None:
        """Restart them so that they die at this step; wait a while for the first death."""
        before = self.ends[step]
        for slot in slots:
            slot.armed = f"{step}:{nth}"
            slot.send(signal.SIGKILL)
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                while self.ends[step] == before:  # noqa: ASYNC110 it happens in another process
                    await asyncio.sleep(0.02)

    async def keep_down(self, slots: Iterable[Slot], how: signal.Signals = signal.SIGKILL) -> None:
        """End them, and do not restart them before `release`."""
        slots = list(slots)
        for slot in slots:
            slot.free.clear()
            slot.send(how)
        for slot in slots:
            await slot.ended()

    async def restart(self, slot: Slot, how: signal.Signals) -> None:
        """End one process; returns when it has ended, and the next one is about to start."""
        slot.send(how)
        await slot.ended()

    def release(self, slots: Iterable[Slot]) -> None:
        for slot in slots:
            slot.free.set()

    async def _keep(self, slot: Slot) -> None:
        while True:
            await slot.free.wait()
            step = slot.armed
            # Not in a thread: if the run ended meanwhile, nobody would know the process.
            slot.start()
            status = await slot.ended()
            self.ends[f"{slot.role} {status}"] += 1
            if step and status == -signal.SIGKILL and not slot.killed:
                self.ends[step.partition(":")[0]] += 1
            await asyncio.sleep(RESTART_DELAY)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for slot in self.slots:
            slot.send(signal.SIGKILL)
            await slot.ended()
