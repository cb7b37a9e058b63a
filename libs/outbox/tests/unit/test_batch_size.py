"""How many deliveries a worker takes."""

from __future__ import annotations

import asyncio
import time

import pytest

from outbox.inbox.batch_size import BatchSize, Computing, Stopwatch


def learned(wait: float) -> BatchSize:
    batch_size = BatchSize(200)
    for _ in range(20):
        batch_size.learn(wait * 10, 10)
    return batch_size


def test_before_anything_is_known_a_batch_is_small() -> None:
    assert BatchSize(200).fitting(ready=500, idle=8) == 4


def test_handlers_that_compute_have_whole_batches_however_many_workers_are_idle() -> None:
    assert learned(0.00002).fitting(ready=500, idle=8) == 200
    assert learned(0.00002).worth == 200


def test_handlers_that_wait_are_spread_over_all_idle_workers() -> None:
    batch_size = learned(0.05)
    assert batch_size.fitting(ready=5, idle=16) == 1
    assert batch_size.fitting(ready=500, idle=16) <= 4, "no more than fits into the budget"
    assert batch_size.worth == 1


def test_a_batch_grows_to_its_whole_size_within_twelve_batches_of_fast_handlers() -> None:
    batch_size, sizes = BatchSize(200), list[int]()
    for _ in range(12):
        sizes.append(batch_size.fitting(ready=500, idle=8))
        batch_size.learn(0.00002 * sizes[-1], sizes[-1])
    assert sizes == sorted(sizes)
    assert sizes[-1] == 200


async def test_time_in_which_another_worker_computes_is_not_waited() -> None:
    computing = Computing()
    stopwatch = Stopwatch(computing)

    async def computes() -> None:
        for _ in range(10):
            time.sleep(0.02)  # noqa: ASYNC251 it stands for computing
            await asyncio.sleep(0)

    async def waits() -> None:
        with stopwatch.running():
            await asyncio.sleep(0.2)

    await asyncio.gather(computing.run(computes()), computing.run(waits()))
    assert stopwatch.waited < 0.1


async def test_what_one_handler_computes_without_an_await_is_not_waited() -> None:
    computing = Computing()
    stopwatch = Stopwatch(computing)

    async def computes() -> None:
        with stopwatch.running():
            time.sleep(0.1)  # noqa: ASYNC251 it stands for computing

    await computing.run(computes())
    assert stopwatch.waited < 0.01


async def test_a_measured_coroutine_returns_raises_and_is_cancelled_as_it_is_without() -> None:
    computing = Computing()
    told: list[str] = []

    async def answers() -> int:
        await asyncio.sleep(0)
        return 7

    async def fails() -> None:
        await asyncio.sleep(0)
        raise ValueError("no")

    async def sleeps() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            told.append("cancelled")

    assert await computing.run(answers()) == 7
    with pytest.raises(ValueError, match="no"):
        await computing.run(fails())
    task = asyncio.ensure_future(computing.run(sleeps()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert told == ["cancelled"]
