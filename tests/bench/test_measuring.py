"""The bench measures what it says, on little work."""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter
from pathlib import Path

import pytest
import pytest_asyncio

from bench.ceiling import best_ceiling
from bench.deliveries import delivered_numbers
from bench.drain import RELAY, TEXTBOOK, drain, in_queue, one_of_queue
from bench.environment import Environment, prepared
from bench.messages import differences
from bench.open_loop_load import committing, consuming, send_at_rate
from bench.published_log import Holder, published_log
from bench.subject_process import subject_process

_LOOK = """
EXPLAIN (ANALYZE, BUFFERS, TIMING off, FORMAT json)
SELECT id FROM outbox WHERE published_at IS NULL AND id > 0 ORDER BY id LIMIT 1
"""


@pytest_asyncio.fixture
async def environment(database_url: str, broker_url: str) -> Environment:
    return await prepared(database_url, broker_url)


@pytest.mark.parametrize("script", [RELAY, TEXTBOOK])
async def test_a_drain_is_measured_and_nothing_is_missing(
    environment: Environment, script: str
) -> None:
    drained = await drain(environment, script=script, events=1_000)

    assert drained.rate > 0
    assert drained.cpu > 0
    assert await in_queue(environment) == 1_000


async def test_others_publish_the_message_that_the_relay_publishes(
    environment: Environment,
) -> None:
    await drain(environment, events=10)
    sent = await one_of_queue(environment)

    assert differences(sent) == []
    assert len(sent.body) == 173


@pytest.mark.parametrize("compiler", [True, False])
async def test_the_ceiling_needs_no_compiler(
    environment: Environment, tmp_path: Path, compiler: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not compiler:
        monkeypatch.setattr(shutil, "which", lambda _: None)
    ceiling = best_ceiling(tmp_path)
    published = await asyncio.to_thread(ceiling.publish, environment, 2_500)

    assert compiler or ceiling.name.startswith("ready frames")
    assert published.seconds > 0
    assert await in_queue(environment) == 2_500
    assert differences(await one_of_queue(environment)) == []


async def _pages_of_a_look(environment: Environment, holder: Holder) -> int:
    """How much a look from the beginning reads, where everything has been published."""
    async with published_log(environment, 2_000, holder):
        with environment.connect() as connection:
            connection.execute("SET enable_seqscan = off")
            [(plan,)] = connection.execute(_LOOK).fetchall()
    assert isinstance(plan, list)
    return int(plan[0]["Plan"]["Shared Hit Blocks"])


async def test_a_held_snapshot_keeps_dead_entries_in_the_index(environment: Environment) -> None:
    held = await _pages_of_a_look(environment, Holder.READER)
    with environment.connect() as connection:
        connection.execute("TRUNCATE outbox")
    free = await _pages_of_a_look(environment, Holder.NOBODY)

    assert held > 50 > free


async def test_every_event_that_is_committed_is_timed(environment: Environment) -> None:
    async with subject_process(RELAY, environment) as relay:
        await relay.until(lambda usage: usage.ready and usage.lanes > 0)
        async with committing(environment) as send, consuming(environment) as journey:
            await send_at_rate(journey, send, rate=200, count=50)
            await journey.all_arrived()
    assert len(journey.latencies(range(50))) == 50


def test_a_tenth_of_the_deliveries_are_duplicates_and_first_ones_are_in_order() -> None:
    numbers = delivered_numbers(events=1_800, deliveries=2_000)
    first_ones = list(dict.fromkeys(numbers))

    assert len(numbers) == 2_000
    assert sorted(Counter(numbers).values()) == [1] * 1_600 + [2] * 200
    assert first_ones == sorted(first_ones)
