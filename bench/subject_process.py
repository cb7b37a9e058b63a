"""A process under measurement: the bench starts it, asks for its usage, and stops it.

Each measured process is a script of its own, so its CPU time and memory are counted apart.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from bench.environment import Environment
from devstack.native.system import CHECKOUT

ANSWER_WITHIN, READY_WITHIN, STOP_WITHIN = 60.0, 60.0, 20.0


@dataclass(frozen=True)
class Usage:
    """What a process reports about itself. Times are in seconds, memory in bytes."""

    ready: bool
    lanes: int
    cpu: float
    rss: int


class SubjectProcess:
    """Talks to one process over its pipes. `control_protocol` is the other end."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def usage(self) -> Usage:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(b"usage\n")
        async with asyncio.timeout(ANSWER_WITHIN):
            line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"a measured process ended with {await self._process.wait()}")
        return Usage(**json.loads(line))

    async def until(self, condition: Callable[[Usage], bool]) -> None:
        """Wait until what the process reports meets the condition."""
        async with asyncio.timeout(READY_WITHIN):
            while not condition(await self.usage()):  # noqa: ASYNC110 the condition is over there
                await asyncio.sleep(0.05)

    async def stop(self) -> None:
        """Ask the process to stop, and kill it when it does not end in time."""
        if self._process.stdin:
            self._process.stdin.close()
        try:
            async with asyncio.timeout(STOP_WITHIN):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()


@asynccontextmanager
async def subject_process(
    script: str, environment: Environment, *arguments: str, **variables: str
) -> AsyncIterator[SubjectProcess]:
    """Run `python -m bench.processes.<script>` for the length of the block."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", f"bench.processes.{script}", *arguments),
        cwd=CHECKOUT,
        env={**os.environ, **environment.variables, **variables},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    started = SubjectProcess(process)
    try:
        yield started
    finally:
        await started.stop()
