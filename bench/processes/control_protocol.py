"""The measured process's side of the protocol: a question on stdin, an answer on stdout.

The end of stdin means stop, so no process outlives the bench.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import resource
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvloop

Ready = Callable[[], bool]
_PAGE = os.sysconf("SC_PAGE_SIZE")


def serve(
    run: Callable[[asyncio.Event], Awaitable[None]],
    *,
    ready: Ready = lambda: True,
    lanes: Callable[[], int] = lambda: 0,
) -> None:
    """Run until stdin ends, on the event loop of the services and with what was built frozen."""
    gc.collect()
    gc.freeze()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(run, ready, lanes))


async def _serve(
    run: Callable[[asyncio.Event], Awaitable[None]], ready: Ready, lanes: Callable[[], int]
) -> None:
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(_answer(stop, ready, lanes))
        await run(stop)


async def _answer(stop: asyncio.Event, ready: Ready, lanes: Callable[[], int]) -> None:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    while await reader.readline():
        answer = {"ready": ready(), "lanes": lanes(), "cpu": _cpu(), "rss": _rss()}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    stop.set()


def _cpu() -> float:
    """User and system time of all threads, in seconds."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _rss() -> int:
    """Resident memory now, in bytes (proc(5), statm)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE
