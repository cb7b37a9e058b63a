"""Prints the audit's lines again, from any point of the stream queue to its end at that time."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

from contracts import AUDIT
from outbox import Topology
from outbox.rabbitmq import stream_reader
from service_processor.audit.journal import line_of
from servicekit.observe import logs
from servicekit.process.startup_errors import StartupProblem

Offset = int | datetime | str


def offset_of(given: str) -> Offset:
    """`first`, a number, or a time; a time without an offset is in UTC."""
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
    """Print a JSON line for each event, up to the one that was the newest when this began."""
    replaying = _Replaying(begin)
    reader = stream_reader.StreamReader(
        stream=AUDIT,
        broker_url=broker_url,
        topology=topology,
        begin=replaying.position,
        handle=replaying.show,
    )
    await reader.run(replaying.done)


class _Replaying:
    """The progress of a replay, which survives a lost connection."""

    def __init__(self, begin: Offset) -> None:
        self._next = begin
        self._newest: int | None = None
        self.done = asyncio.Event()

    async def position(self, ends: stream_reader.StreamBounds) -> Offset:
        if self._newest is None:
            newest = await ends.newest()
            self._newest = newest.offset if newest else -1
        if isinstance(self._next, datetime):
            since = await ends.since(self._next)
            self._next = self._newest + 1 if since is None else since
        if self._newest < 0 or (isinstance(self._next, int) and self._next > self._newest):
            self.done.set()
        return self._next

    async def show(self, events: Sequence[stream_reader.StreamedEvent]) -> None:
        assert self._newest is not None
        try:
            for event in events:
                if event.offset <= self._newest:
                    sys.stdout.write(logs.to_json(line_of(event)) + "\n")
            sys.stdout.flush()
        except BrokenPipeError:  # the reader of the output has closed it
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            self.done.set()
        self._next = events[-1].offset + 1
        if self._next > self._newest:
            self.done.set()
