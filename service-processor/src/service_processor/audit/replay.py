"""The audit's lines once more, from any point of the stream to where it ended when asked."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

from contracts import AUDIT
from outbox import Topology, streams
from service_processor.audit.journal import line_of
from servicekit.startup import StartupProblem

QUIET = 2.0

Offset = int | datetime | str


def offset_of(given: str) -> Offset:
    """`first`, a number, or a time, which is UTC unless it says otherwise."""
    if given == "first":
        return given
    if given.isdecimal():
        return int(given)
    try:
        time = datetime.fromisoformat(given)
    except ValueError:
        raise StartupProblem(
            f"--from {given}: it is first, an offset, or a time such as 2026-11-21T06:00:00Z"
        ) from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


async def replay(broker_url: str, topology: Topology, begin: Offset) -> None:
    """Print a JSON line for each event; done when none has come for `QUIET` seconds."""
    stop, heard = asyncio.Event(), asyncio.Event()

    async def where(_: streams.Head) -> Offset:
        return begin

    async def show(events: Sequence[streams.StreamedEvent]) -> None:
        heard.set()
        try:
            for event in events:
                sys.stdout.write(json.dumps(line_of(event), ensure_ascii=False) + "\n")
            sys.stdout.flush()
        except BrokenPipeError:  # whoever reads has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            stop.set()

    async def end_when_quiet() -> None:
        while not stop.is_set():
            heard.clear()
            try:
                await asyncio.wait_for(heard.wait(), QUIET)
            except TimeoutError:
                if reader.running:
                    stop.set()

    reader = streams.StreamReader(
        stream=AUDIT, broker_url=broker_url, topology=topology, begin=where, handle=show
    )
    async with asyncio.TaskGroup() as group:
        group.create_task(reader.run(stop))
        group.create_task(end_when_quiet())
