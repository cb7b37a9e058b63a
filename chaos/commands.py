"""The `outbox` commands, run as an operator runs them."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from chaos.scenario import Environment, Side


@dataclass(frozen=True)
class Target:
    """The queue that a side consumes, or one event type of it."""

    side: Side
    type: str = ""

    @property
    def words(self) -> tuple[str, ...]:
        """How a command names it."""
        return (self.side.queue, "--type", self.type) if self.type else (self.side.queue,)


async def outbox(environment: Environment, *words: str, statuses: tuple[int, ...] = (0,)) -> Any:
    """The answer of `outbox WORDS --json`."""
    process = await _begun(environment, *words)
    out, problem = await asyncio.wait_for(process.communicate(), 120)
    assert process.returncode in statuses, f"outbox {words}: {out.decode()} {problem.decode()}"
    return json.loads(out)


async def attempt(environment: Environment, side: Side, *words: str, killed_after: float) -> bool:
    """Run a command that may fail, and kill it after so many seconds; whether it succeeded."""
    process = await _begun(environment, *words, *_database(environment, side))
    with suppress(TimeoutError):
        _, problem = await asyncio.wait_for(process.communicate(), killed_after)
        if process.returncode not in (0, 1):  # 1: there was nothing to resume
            print(f"outbox {words}: {process.returncode} {problem.decode()}", flush=True)
    if process.returncode is None:
        process.kill()
    return await process.wait() == 0


async def _begun(environment: Environment, *words: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "outbox.cli", *words, "--json"),
        env={**os.environ, "RABBITMQ_URL": environment.broker_url},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


def _database(environment: Environment, side: Side) -> tuple[str, str]:
    return ("--database-url", environment.databases[side.name])


async def missing_events(environment: Environment, consumer: Side) -> set[str]:
    """Ids of the events that `outbox reconcile` reports as missing."""
    producer = environment.databases[consumer.source]
    urls = ("--producer-url", producer, "--consumer-url", environment.databases[consumer.name])
    found = await outbox(environment, "reconcile", *urls, "--grace", "0", statuses=(0, 1))
    return {id_ for one in found["results"] for run in one["missing"] for id_ in run["event_ids"]}


async def redrive(environment: Environment, consumer: Side) -> int:
    """Redrive everything; returns the number of streams."""
    url = _database(environment, consumer)
    said = await outbox(environment, "parked", "redrive", consumer.queue, *url, "--yes")
    return int(said["streams"])


async def paused(environment: Environment, side: Side) -> list[Target]:
    """What `outbox status` shows as paused."""
    found = await _status(environment, side)
    return [Target(side, one["type"]) for one in found["controls"]]


async def tripped(environment: Environment, side: Side) -> list[str]:
    """The event types that `outbox status` shows as tripped."""
    found = await _status(environment, side)
    return [one["type"] for one in found["inbox"]["tripped"]]


async def resume(environment: Environment, target: Target) -> bool:
    """End a pause; false if there was none."""
    url = _database(environment, target.side)
    said = await outbox(environment, "resume", *target.words, *url, statuses=(0, 1))
    return bool(said["resumed"])


async def _status(environment: Environment, side: Side) -> Any:
    # Status 1: something is parked for a person.
    return await outbox(environment, "status", *_database(environment, side), statuses=(0, 1))
