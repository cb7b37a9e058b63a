"""Jobs: one result each, whatever dies; the same key for every attempt."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from kit.outbox.deliveries import events
from kit.outbox.job_rows import enqueue, states
from kit.outbox.world import Happened, World, running
from kit.waiting import eventually
from outbox import RetryPolicy, UnitOfWork, jobs
from outbox.jobs import Job, JobHandler, JobSettings, JobWorker, Result

QUICK = RetryPolicy(attempts=3, base=0.02, ceiling=0.05)


def worker(world: World, handler: JobHandler, **settings: object) -> JobWorker:
    usual: dict[str, object] = {"retry": QUICK, "poll": 0.1}
    return JobWorker(world.work, {"pay": handler}, JobSettings(**(usual | settings)))  # type: ignore[arg-type]


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


async def test_a_call_with_an_unknown_outcome_is_repeated_until_the_last_attempt_fails(
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
    async with await world.psycopg() as connection:
        [job] = await jobs.list_jobs(connection, state="failed")
        assert (job.attempts, job.last_error) == (3, "TimeoutError: no answer")
        assert await jobs.redrive(connection, kind="pay") == 1

    async def back(job: Job) -> Result:
        keys.append(job.idempotency_key)
        return emits(job)

    assert await worker(world, back).run_due() == 1
    assert keys == ["pay:a"] * 4
    assert await states(world, ("a", "done"))


async def test_a_declined_job_fails_at_once_and_can_be_discarded(world: World) -> None:
    async def no(job: Job) -> Result:
        raise jobs.Declined("never")

    await enqueue(world, "a")
    assert await worker(world, no).run_due() == 1
    assert await states(world, ("a", "failed"))
    async with await world.psycopg() as connection:
        assert await jobs.discard(connection, "pay", "a")
    assert await states(world, ("a", "discarded"))


async def test_a_result_that_cannot_be_committed_counts_as_an_attempt_and_leaves_nothing(
    world: World,
) -> None:
    async def half(job: Job) -> Result:
        async def result(unit: UnitOfWork) -> None:
            await unit.emit(Happened("a"))
            if job.attempts == 1:
                raise ValueError("after emitting")

        return result

    async with running(worker(world, half)):
        await enqueue(world, "a")
        await eventually(lambda: states(world, ("a", "done")))
    assert await world.rows("SELECT sequence FROM outbox") == [(1,)]


async def swift(job: Job) -> Result:
    return emits(job)


async def declines(job: Job) -> Result:
    raise jobs.Declined("never")


@dataclass
class Slow:
    """A worker whose call lasts until it is told to go on, and outlives its lease."""

    world: World
    settings: dict[str, object] = field(default_factory=dict)
    entered: asyncio.Event = field(default_factory=asyncio.Event)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)

    async def call(self, job: Job) -> Result:
        self.entered.set()
        await self.go_on.wait()
        return emits(job)

    async def begin(self, **settings: object) -> asyncio.Task[int]:
        usual: dict[str, object] = {"lease": 60, "heartbeat": 60}
        ours = worker(self.world, self.call, **(usual | settings))
        running = asyncio.create_task(ours.run_due())
        await self.entered.wait()
        await self.world.execute("UPDATE outbox_jobs SET lease_until = clock_timestamp()")
        return running


async def test_a_job_ends_once_and_a_later_answer_commits_nothing(world: World) -> None:
    await enqueue(world, "a")
    slow = Slow(world)
    first = await slow.begin()
    assert await worker(world, swift).run_due() == 1
    slow.go_on.set()
    await first
    assert await world.rows("SELECT count(*) FROM outbox") == [(1,)]
    assert await states(world, ("a", "done"))


async def test_the_first_answer_counts_although_another_worker_makes_the_same_call(
    world: World,
) -> None:
    await enqueue(world, "a")
    slow, other = Slow(world), Slow(world)
    first, second = await slow.begin(), await other.begin()
    slow.go_on.set()
    await first
    assert await states(world, ("a", "done"))
    other.go_on.set()
    await second
    assert await world.rows("SELECT aggregate_id FROM outbox") == [("a",)]
    assert await states(world, ("a", "done"))


async def test_a_call_is_cancelled_when_its_job_has_ended(world: World) -> None:
    await enqueue(world, "a")
    first = await Slow(world).begin(heartbeat=0.05)
    assert await worker(world, swift).run_due() == 1
    assert await asyncio.wait_for(first, 60) == 1


async def test_a_job_stays_failed_after_another_attempt_was_declined(world: World) -> None:
    await enqueue(world, "a")
    slow = Slow(world)
    first = await slow.begin()
    assert await worker(world, declines).run_due() == 1
    slow.go_on.set()
    await first
    assert await states(world, ("a", "failed"))
    assert await world.rows("SELECT count(*) FROM outbox") == [(0,)]


async def test_an_answer_after_the_last_attempt_still_ends_its_job(
    world: World,
) -> None:
    await enqueue(world, "a")
    slow, once = Slow(world), RetryPolicy(attempts=1)
    first = await slow.begin(retry=once)
    assert await worker(world, swift, retry=once).run_due() == 1
    assert await states(world, ("a", "failed"))
    slow.go_on.set()
    await first
    assert await states(world, ("a", "done"))
    assert await world.rows("SELECT count(*) FROM outbox") == [(1,)]


async def test_a_late_failure_leaves_the_lease_of_the_next_attempt_alone(world: World) -> None:
    await enqueue(world, "a")
    slow, other = SlowFailure(world), Slow(world)
    first, second = await slow.begin(), await other.begin()
    await world.execute("UPDATE outbox_jobs SET lease_until = clock_timestamp() + interval '1 h'")
    leases = await world.rows("SELECT lease_id, next_attempt_at FROM outbox_jobs")
    slow.go_on.set()
    await first
    assert await world.rows("SELECT lease_id, next_attempt_at FROM outbox_jobs") == leases
    other.go_on.set()
    await second
    assert await states(world, ("a", "done"))


class SlowFailure(Slow):
    """A worker whose late call fails."""

    async def call(self, job: Job) -> Result:
        await super().call(job)
        raise TimeoutError("no answer")


async def test_a_long_call_keeps_its_lease(world: World) -> None:
    calls: list[int] = []

    async def slow(job: Job) -> Result:
        calls.append(job.attempts)
        await eventually(lambda: extended(world))
        return emits(job)

    settings = {"lease": 3.0, "heartbeat": 0.2}
    async with running(worker(world, slow, **settings), worker(world, slow, **settings)):
        await enqueue(world, "a")
        await eventually(lambda: states(world, ("a", "done")))
    assert calls == [1]


async def extended(world: World) -> bool:
    """Whether the lease is valid although its first period is over."""
    return await world.rows(
        "SELECT clock_timestamp() > created_at + interval '3.5 s'"
        " AND lease_until > clock_timestamp() FROM outbox_jobs"
    ) == [(True,)]


async def test_a_worker_that_dies_in_every_attempt_leaves_a_failed_job(world: World) -> None:
    async def never(job: Job) -> Result:
        raise AssertionError("not called")

    await enqueue(world, "a")
    await world.execute("UPDATE outbox_jobs SET attempts = 3, lease_until = clock_timestamp()")
    assert await worker(world, never).run_due() == 1
    [(state, error)] = await world.rows("SELECT state, last_error FROM outbox_jobs")
    assert state == "failed"
    assert str(error).startswith("NoAnswer: the outcome of attempt 3, the last, is unknown")


async def test_the_event_of_a_job_has_the_cause_of_the_job(world: World) -> None:
    [cause] = events(1)
    async with world.work.begin(cause=cause) as unit:
        await jobs.enqueue(unit, "pay", key="a", payload={"order": "a"})

    async def pay(job: Job) -> Result:
        return emits(job)

    await worker(world, pay).run_due()
    assert await world.rows("SELECT correlation_id, causation_id FROM outbox") == [
        (cause.correlation_id, str(cause.id))
    ]
