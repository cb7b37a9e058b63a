"""The `outbox` commands, run as an operator runs them."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

from chaos.scenario import SIDES, Environment, Side


async def outbox(environment: Environment, *words: str, statuses: tuple[int, ...] = (0,)) -> Any:
    """The answer of `outbox WORDS --json`."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "outbox.cli", *words, "--json"),
        env={**os.environ, "RABBITMQ_URL": environment.broker_url},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, problem = await asyncio.wait_for(process.communicate(), 120)
    assert process.returncode in statuses, f"outbox {words}: {out.decode()} {problem.decode()}"
    return json.loads(out)


async def missing_events(environment: Environment, consumer: Side) -> set[str]:
    """Ids of the events that `outbox reconcile` reports as missing."""
    producer = environment.databases[consumer.source]
    urls = ("--producer-url", producer, "--consumer-url", environment.databases[consumer.name])
    found = await outbox(environment, "reconcile", *urls, "--grace", "0", statuses=(0, 1))
    return {id_ for one in found["results"] for run in one["missing"] for id_ in run["event_ids"]}


async def gaps(environment: Environment, consumer: Side) -> set[tuple[str, int]]:
    """Aggregate and first sequence of each gap that the consumer itself knows."""
    url = ("--database-url", environment.databases[consumer.name])
    found = await outbox(environment, "parked", "gaps", consumer.queue, *url, "--limit", "10000")
    return {(gap["stream"]["aggregate_id"], gap["first"]) for gap in found}


async def redrive(environment: Environment, consumer: Side) -> int:
    """Redrive everything; returns the number of streams."""
    url = ("--database-url", environment.databases[consumer.name])
    said = await outbox(environment, "parked", "redrive", consumer.queue, *url, "--yes")
    return int(said["streams"])


async def replay(environment: Environment, producer: Side, *what: str) -> int:
    """Replay; returns the number of events."""
    url = ("--database-url", environment.databases[producer.name])
    said = await outbox(environment, "replay", *what, *url, "--yes")
    return int(said["replayed"])


def producer_of(consumer: Side) -> Side:
    return SIDES[consumer.source]
