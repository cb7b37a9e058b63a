"""One of several processes has the leadership, and another follows when its session is gone."""

from __future__ import annotations

import asyncio

from kit.outbox.world import World, running
from kit.waiting import eventually
from outbox.postgres.leadership import Leader


class Work:
    """Notes how often it began, and whether it runs now."""

    def __init__(self) -> None:
        self.begun = 0
        self.running = False

    async def run(self, stop: asyncio.Event) -> None:
        self.begun += 1
        self.running = True
        try:
            await stop.wait()
        finally:
            self.running = False


def leader(world: World, work: Work, name: str = "audit") -> Leader:
    return Leader(work, name=name, database_url=world.database_url)


async def works(*works: Work) -> bool:
    return all(work.running for work in works)


async def test_the_second_stands_by_and_follows_when_the_first_stops(world: World) -> None:
    first, second = Work(), Work()
    standby = leader(world, second)

    async def stands_by() -> bool:
        return standby.standing_by

    async with running(leader(world, first)) as stop:
        await eventually(lambda: works(first))
        async with running(standby):
            await eventually(stands_by)
            assert standby.running
            assert not second.begun
            stop.set()
            await eventually(lambda: works(second))
            assert not first.running


async def test_a_leader_that_loses_its_session_stops_working_and_acquires_it_again(
    world: World,
) -> None:
    work = Work()
    async with running(leader(world, work)):
        await eventually(lambda: works(work))
        await world.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )

        async def began_again() -> bool:
            return work.begun == 2 and work.running

        await eventually(began_again)


async def test_leaders_of_different_names_work_side_by_side(world: World) -> None:
    audit, payments = Work(), Work()
    async with running(leader(world, audit), leader(world, payments, "payments")):
        await eventually(lambda: works(audit, payments))
