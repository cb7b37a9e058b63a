"""The hour of figures in memory: what is kept, what is measured when, and what fails alone."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from kit.manual_clock import Clock
from kit.waiting import eventually
from outbox.console.samples import (
    AT_REST,
    SHARE_AT_REST,
    WATCHED,
    Measure,
    Measured,
    Samples,
    pause,
)
from outbox.operations.flow import Flow, OutboxFlow, Published, Waiting

BEGIN = datetime(2026, 11, 26, tzinfo=UTC)


def measured(clock: Clock, asked: list[datetime | None]) -> Measure:
    async def measure(since: datetime | None) -> Measured:
        asked.append(since)
        outbox = OutboxFlow("shop", 0, Published(20, 0.1, 0.2), Waiting(0, None), 0, 0, 1)
        return Measured(Flow(BEGIN + timedelta(seconds=clock.now), outbox, None, []))

    return measure


async def test_a_rate_is_over_the_time_since_the_measurement_before() -> None:
    clock, asked = Clock(), list[datetime | None]()
    samples = Samples({"orders": measured(clock, asked)}, clock)

    await samples.measure("orders")
    clock.now = 4.0
    await samples.measure("orders")

    first, second = samples.of("orders")
    assert asked == [None, BEGIN]
    assert (first.per_second(20), second.per_second(20)) == (None, 5.0)


async def test_samples_older_than_an_hour_are_dropped() -> None:
    clock = Clock()
    samples = Samples({"orders": measured(clock, [])}, clock)
    await samples.measure("orders")
    clock.now = 3_601.0
    await samples.measure("orders")

    [kept] = samples.of("orders")
    assert kept.at == 3_601.0


async def test_a_database_that_does_not_answer_has_samples_that_say_so() -> None:
    async def fails(_: datetime | None) -> Measured:
        raise psycopg.OperationalError("gone")

    samples = Samples({"orders": fails})
    await samples.measure("orders")

    newest = samples.newest("orders")
    assert newest is not None
    assert (newest.flow, newest.problem) == (None, "the database cannot be used: gone")


async def test_being_watched_ends_a_pause_at_rest() -> None:
    clock, asked = Clock(), list[datetime | None]()
    samples = Samples({"orders": measured(clock, asked)}, clock)
    clock.now = 100.0
    task = asyncio.create_task(samples.run())

    async def measured_times(count: int) -> bool:
        return len(asked) == count

    await eventually(lambda: measured_times(1))
    samples.watch()
    await eventually(lambda: measured_times(2), within=AT_REST / 2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_a_measurement_at_rest_takes_two_percent_of_the_time_at_most() -> None:
    assert pause(0.01, AT_REST, SHARE_AT_REST) == pytest.approx(AT_REST - 0.01)
    took = 1.0
    assert took / (took + pause(took, AT_REST, SHARE_AT_REST)) == pytest.approx(SHARE_AT_REST)
    assert pause(0.0, WATCHED, 0.1) == WATCHED
