"""The command `outbox`, run as a person runs it."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

from chaos.sides import SIDES, Place, Side


async def outbox(place: Place, *words: str, statuses: tuple[int, ...] = (0,)) -> Any:
    """What it says to these words with `--json`."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "outbox.cli", *words, "--json"),
        env={**os.environ, "RABBITMQ_URL": place.broker_url},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, problem = await asyncio.wait_for(process.communicate(), 120)
    assert process.returncode in statuses, f"outbox {words}: {out.decode()} {problem.decode()}"
    return json.loads(out)


async def holes(place: Place, consumer: Side) -> set[str]:
    """Ids of the events that reconcile misses."""
    producer = place.databases[consumer.takes_of]
    urls = ("--producer-url", producer, "--consumer-url", place.databases[consumer.name])
    found = await outbox(place, "reconcile", *urls, "--grace", "0", statuses=(0, 1))
    return {id_ for one in found["results"] for run in one["missing"] for id_ in run["event_ids"]}


async def gaps(place: Place, consumer: Side) -> set[tuple[str, int]]:
    """Aggregate and first sequence of what is missed without any comparing."""
    url = ("--database-url", place.databases[consumer.name])
    found = await outbox(place, "parked", "gaps", consumer.queue, *url, "--limit", "10000")
    return {(gap["stream"]["aggregate_id"], gap["first"]) for gap in found}


async def redrive(place: Place, consumer: Side) -> int:
    """How many streams are tried at once."""
    url = ("--database-url", place.databases[consumer.name])
    said = await outbox(place, "parked", "redrive", consumer.queue, *url)
    return int(said["streams"])


async def replay(place: Place, producer: Side, *what: str) -> int:
    """How many events are published again."""
    url = ("--database-url", place.databases[producer.name])
    said = await outbox(place, "replay", *what, *url, "--yes")
    return int(said["replayed"])


def producer_of(consumer: Side) -> Side:
    return SIDES[consumer.takes_of]
