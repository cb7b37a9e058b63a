"""Jobs: one result each, whatever dies; the same key for every attempt."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest
from deliveries import events

from outbox import RetryPolicy, UnitOfWork, jobs
from outbox.jobs import Job, JobHandler, JobSettings, JobWorker, Result
from outbox_world import Happened, World, eventually, running

SUPPORT = Path(__file__).parents[3] / "tests" / "support"
QUICK = RetryPolicy(attempts=3, base=0.02, ceiling=0.05)


async def enqueue(world: World, *keys: str, kind: str = "pay") -> None:
    async with world.work.begin() as unit:
        for key in keys:
            await jobs.enqueue(unit, kind, key=key, payload={"order": key})


def worker(world: World, handler: JobHandler, **settings: object) -> JobWorker:
    usual: dict[str, object] = {"retry": QUICK, "poll": 0.1}
    return JobWorker(world.work, {"pay": handler}, JobSettings(**(usual | settings)))  # type: ignore[arg-type]


async def states(world: World, *expected: tuple[str, str]) -> bool:
    found = await world.rows("SELECT key, state FROM outbox_jobs ORDER BY key")
    return found == sorted(expected)


def emits(job: Job) -> Result:
    async def result(unit: UnitOfWork) -> None:
        await unit.emit(Happened(job.payload["order"]))

    return result


async def test_a_job_is_called_outside_of_transactions_and_ends_with_its_event(
    world: World,
) -> None:
    open_ones: list[object] = []

    async def pay(job: Job) -> Result:
        open_ones.extend(
            await world.rows(
                "SELECT query FROM pg_stat_activity WHERE datname = current_database()"
                " AND state LIKE 'idle in%%' AND pid <> pg_backend_pid()"
            )
        )
        return emits(job)

    async with running(worker(world, pay, concurrency=1)):
        await enqueue(world, "a", "b")
        await eventually(lambda: states(world, ("a", "done"), ("b", "done")))
    assert open_ones == []
    assert await world.rows("SELECT aggregate_id FROM outbox ORDER BY 1") == [("a",), ("b",)]


async def test_the_same_key_is_one_job(world: World) -> None:
    async with world.work.begin() as unit:
        assert await jobs.enqueue(unit, "pay", key="a", payload=1)
        assert not await jobs.enqueue(unit, "pay", key="a", payload=2)
        assert await jobs.enqueue(unit, "refund", key="a", payload=3)
    assert await world.rows("SELECT count(*) FROM outbox_jobs") == [(2,)]


async def test_an_unknown_outcome_is_the_same_call_again_and_the_last_is_failed(
    world: World,
) -> None:
    keys: list[str] = []

    async def away(job: Job) -> Result:
        keys.append(job.idempotency_key)
        raise TimeoutError("no answer")

    async with running(worker(world, away)):
        await enqueue(world, "a")
        await eventually(lambda: states(world, ("a", "failed")))
    assert keys == ["pay:a"] * 3
    async with world.work.begin() as unit:
        [job] = await jobs.list_jobs(unit.connection, state="failed")
        assert (job.attempts, job.last_error) == (3, "TimeoutError: no answer")
        assert await jobs.redrive(unit.connection, kind="pay") == 1

    async def back(job: Job) -> Result:
        keys.append(job.idempotency_key)
        return emits(job)

    assert await worker(world, back).run_due() == 1
    assert keys == ["pay:a"] * 4
    assert await states(world, ("a", "done"))


async def test_what_is_declined_is_failed_at_once_and_can_be_discarded(world: World) -> None:
    async def no(job: Job) -> Result:
        raise jobs.Declined("never")

    await enqueue(world, "a")
    assert await worker(world, no).run_due() == 1
    assert await states(world, ("a", "failed"))
    async with world.work.begin() as unit:
        assert await jobs.discard(unit.connection, "pay", "a")
    assert await states(world, ("a", "discarded"))


async def test_a_result_that_cannot_be_committed_is_an_attempt_and_leaves_nothing(
    world: World,
) -> None:
    async def half(job: Job) -> Result:
        async def result(unit: UnitOfWork) -> None:
            await unit.emit(Happened("a"))
            if job.attempt == 1:
                raise ValueError("after emitting")

        return result

    async with running(worker(world, half)):
        await enqueue(world, "a")
        await eventually(lambda: states(world, ("a", "done")))
    assert await world.rows("SELECT sequence FROM outbox") == [(1,)]


async def test_a_worker_whose_lease_was_taken_over_commits_nothing(world: World) -> None:
    entered, go_on = asyncio.Event(), asyncio.Event()

    async def slow(job: Job) -> Result:
        entered.set()
        await go_on.wait()
        return emits(job)

    async def swift(job: Job) -> Result:
        return emits(job)

    await enqueue(world, "a")
    first = asyncio.create_task(worker(world, slow, lease=60, heartbeat=60).run_due())
    await entered.wait()
    await world.execute("UPDATE outbox_jobs SET lease_until = clock_timestamp()")
    assert await worker(world, swift).run_due() == 1
    go_on.set()
    await first
    assert await world.rows("SELECT count(*) FROM outbox") == [(1,)]
    assert await states(world, ("a", "done"))


async def test_a_long_call_keeps_its_lease(world: World) -> None:
    calls: list[int] = []

    async def slow(job: Job) -> Result:
        calls.append(job.attempt)
        await eventually(lambda: extended(world))
        return emits(job)

    settings = {"lease": 3.0, "heartbeat": 0.2}
    async with running(worker(world, slow, **settings), worker(world, slow, **settings)):
        await enqueue(world, "a")
        await eventually(lambda: states(world, ("a", "done")))
    assert calls == [1]


async def extended(world: World) -> bool:
    """Whether the lease holds although its first time is over."""
    return await world.rows(
        "SELECT clock_timestamp() > created_at + interval '3.5 s'"
        " AND lease_until > clock_timestamp() FROM outbox_jobs"
    ) == [(True,)]


@pytest.mark.parametrize("step", ["claimed", "called", "committed"])
async def test_a_killed_worker_is_followed_by_another_with_the_same_key(
    world: World, step: str
) -> None:
    await world.execute("CREATE TABLE calls (key text)")
    await enqueue(world, "a")
    environment = {**os.environ, "PYTHONPATH": str(SUPPORT), "APP_ENV": "test"}
    command = [sys.executable, str(SUPPORT / "jobs_process.py"), world.database_url]
    killed = await asyncio.create_subprocess_exec(
        *command, env={**environment, "OUTBOX_FAULT_POINT": f"job.{step}"}
    )
    async with asyncio.timeout(60):
        assert await killed.wait() == -signal.SIGKILL
    other = await asyncio.create_subprocess_exec(*command, env={**environment, "LEASE": "30"})
    await eventually(lambda: states(world, ("a", "done")))
    other.kill()
    await other.wait()
    assert await world.rows("SELECT count(*) FROM outbox") == [(1,)]
    called = await world.rows("SELECT key FROM calls")
    assert called == [("pay:a",)] * (2 if step == "called" else 1)


async def test_a_worker_that_dies_in_every_attempt_leaves_a_failed_job(world: World) -> None:
    async def never(job: Job) -> Result:
        raise AssertionError("not called")

    await enqueue(world, "a")
    await world.execute("UPDATE outbox_jobs SET attempts = 3, lease_until = clock_timestamp()")
    assert await worker(world, never).run_due() == 1
    [(state, error)] = await world.rows("SELECT state, last_error FROM outbox_jobs")
    assert (state, error) == ("failed", "WorkerDied: no end is known of attempt 3, the last")


async def test_the_event_of_a_job_follows_from_the_event_that_led_to_it(world: World) -> None:
    [cause] = events(1)
    async with world.work.begin(cause=cause) as unit:
        await jobs.enqueue(unit, "pay", key="a", payload={"order": "a"})

    async def pay(job: Job) -> Result:
        return emits(job)

    await worker(world, pay).run_due()
    assert await world.rows("SELECT correlation_id, causation_id FROM outbox") == [
        ("c", str(cause.id))
    ]
