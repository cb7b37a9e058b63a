"""What a worker of jobs does costs the same, however many jobs wait or are done."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from kit.outbox.world import World
from outbox import jobs
from outbox.jobs import Job, JobSettings, JobWorker, Result, store


async def enqueue(world: World, *keys: str) -> None:
    async with world.work.begin() as unit:
        for key in keys:
            await jobs.enqueue(unit, "pay", key=key, payload=None)


async def fill(world: World, count: int, *, state: str = "waiting") -> None:
    """Jobs of three kinds, one half due or ended a month ago, the other in an hour."""
    for ago in ("- interval '30 days'", "+ interval '1 hour'"):
        await world.execute(
            "INSERT INTO outbox_jobs (kind, key, payload, state, next_attempt_at, ended_at,"
            " correlation_id)"
            " SELECT (ARRAY['pay', 'hold', 'mail'])[1 + n %% 3], n || %s, '1', %s::text,"
            f" now() {ago}, CASE %s WHEN 'done' THEN now() {ago} END, 'c'"
            " FROM generate_series(1, %s) n",
            ago,
            state,
            state,
            count // 2,
        )
    await world.execute("ANALYZE outbox_jobs")


async def test_all_done_jobs_past_their_retention_are_deleted_even_under_load(
    world: World,
) -> None:
    await fill(world, 5_000, state="done")
    calling = asyncio.Event()

    async def busy(job: Job) -> Result:
        calling.set()
        await asyncio.Event().wait()
        raise AssertionError

    await enqueue(world, "a")
    worker = JobWorker(world.work, {"pay": busy}, JobSettings(concurrency=1))
    running = asyncio.create_task(worker.run(asyncio.Event()))
    try:
        await asyncio.wait_for(calling.wait(), 60)
        [(done, old)] = await world.rows(
            "SELECT count(*), count(*) FILTER (WHERE ended_at < now()) FROM outbox_jobs"
            " WHERE state = 'done'"
        )
        assert (done, old) == (2_500, 0)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@pytest.mark.parametrize(
    ("statement", "index"),
    [
        (store.CLAIM, "outbox_jobs_due"),
        (store.NEXT, "outbox_jobs_due"),
        (store.DELETE_DONE, "outbox_jobs_done"),
    ],
    ids=["claim", "next", "delete"],
)
async def test_no_statement_of_a_worker_reads_or_sorts_the_backlog(
    world: World, statement: str, index: str
) -> None:
    await fill(world, 50_000)
    await fill_done(world, 50_000)
    parameters = {"kinds": ["pay"], "seconds": 1.0, "lease_id": uuid4()}
    async with await world.psycopg() as connection:
        cursor = await connection.execute("EXPLAIN " + statement, parameters)
        plan = "\n".join(str(line) for (line,) in await cursor.fetchall())
    assert f"Index Scan using {index}" in plan, plan
    assert "Seq Scan" not in plan, plan
    assert "Sort" not in plan, plan


async def fill_done(world: World, count: int) -> None:
    await world.execute(
        "INSERT INTO outbox_jobs (kind, key, payload, state, ended_at, correlation_id)"
        " SELECT 'pay', 'done' || n, '1', 'done', now() - n * interval '1 min', 'c'"
        " FROM generate_series(1, %s) n",
        count,
    )
    await world.execute("ANALYZE outbox_jobs")


async def test_the_next_attempt_is_the_first_free_job_or_the_first_lease_to_end(
    world: World,
) -> None:
    async with await world.psycopg() as connection:
        assert await store.JobStore(connection).until_next(["pay"]) is None
    await enqueue(world, "a", "later")
    await world.execute(
        "UPDATE outbox_jobs SET next_attempt_at = now() + interval '2 h' WHERE key = 'later'"
    )
    async with await world.psycopg() as connection:
        assert (await store.JobStore(connection).until_next(["pay"]) or 0) <= 0
        assert await store.JobStore(connection).claim(["pay"], 3600.0)
        assert 3000 < (await store.JobStore(connection).until_next(["pay"]) or 0) <= 3600
        assert await store.JobStore(connection).until_next(["mail"]) is None
    await world.execute(
        "UPDATE outbox_jobs SET lease_until = now() + interval '3 h' WHERE key = 'a'"
    )
    async with await world.psycopg() as connection:
        assert 3600 < (await store.JobStore(connection).until_next(["pay"]) or 0) <= 7200
