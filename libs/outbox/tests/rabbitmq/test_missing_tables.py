"""A worker whose tables are missing ends at once, and names the call that makes them."""

from __future__ import annotations

import asyncio

import pytest

from kit.outbox.world import World
from outbox import BackgroundService, Envelope, UnitOfWork
from outbox.jobs import Job, JobWorker, Result
from outbox.schema import GROUPS, SchemaBehind


def sentences(problem: BaseException) -> list[str]:
    """What an error says, or each of a group's."""
    if isinstance(problem, BaseExceptionGroup):
        return [one for inner in problem.exceptions for one in sentences(inner)]
    return [str(problem)] if isinstance(problem, SchemaBehind) else [repr(problem)]


async def handler(_unit: UnitOfWork, _event: Envelope) -> None:
    raise AssertionError


async def call(_job: Job) -> Result:
    raise AssertionError


@pytest.mark.parametrize("group", GROUPS)
async def test_a_service_without_its_tables_ends_and_names_the_call(
    world: World, group: str
) -> None:
    for table in GROUPS[group].tables:
        await world.execute(f"DROP TABLE {table}")
    parts: dict[str, BackgroundService] = {
        "outbox": world.relay(),
        "inbox": world.consumer(handler),
        "jobs": JobWorker(world.work, {"call": call}),
    }
    async with asyncio.timeout(30):
        with pytest.raises(Exception, match=r".") as caught:
            await parts[group].run(asyncio.Event())
    said = f"the database has no {group} tables: call outbox.schema.create_{group}(op)"
    assert all(sentence.startswith(said) for sentence in sentences(caught.value)), caught.value
