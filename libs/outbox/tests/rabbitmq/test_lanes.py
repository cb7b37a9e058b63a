"""Lanes: shared evenly, and changed while relays run without an event twice or left behind."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict

import pytest

from kit.outbox.operator import Pair, open_pair
from kit.outbox.world import Happened, World, running
from kit.waiting import eventually
from outbox import Relay
from outbox.relay.lanes import Lanes
from outbox.supervise import pause

AGGREGATES = 60
OWNED = """
SELECT objid::bigint / 65536, objid::bigint % 65536 - 1 FROM pg_locks
 WHERE locktype = 'advisory' AND objsubid = 2 AND granted AND objid::bigint % 65536 > 0
   AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


async def shares(relays: list[Relay], expected: list[int]) -> bool:
    return sorted((len(relay.lanes) for relay in relays), reverse=True) == expected


@pytest.mark.parametrize(
    ("relays", "expected"),
    [(3, [6, 5, 5]), (5, [4, 3, 3, 3, 3]), (6, [3, 3, 3, 3, 2, 2]), (17, [1] * 16 + [0])],
)
async def test_lanes_are_shared_as_evenly_as_they_can_be(
    world: World, relays: int, expected: list[int]
) -> None:
    owners = [await world.psycopg() for _ in range(relays)]
    lanes = [Lanes(owner) for owner in owners]
    for each in lanes:
        await each.join()
    # A few rounds, in which each does what its relay does every second.
    for _ in range(3):
        for each in lanes:
            if await each.has_surplus():
                await each.release_surplus()
            await each.acquire_share()
    assert sorted((len(each.owned) for each in lanes), reverse=True) == expected
    assert sorted(lane for each in lanes for lane in each.owned) == list(range(16))
    for owner in owners:
        await owner.close()


async def test_a_fifth_relay_gets_a_share_while_the_others_run(world: World) -> None:
    relays = [world.relay() for _ in range(5)]
    async with running(*relays[:4]):
        await eventually(lambda: shares(relays, [4, 4, 4, 4, 0]))
        async with running(relays[4]):
            await eventually(lambda: shares(relays, [4, 3, 3, 3, 3]))


async def test_no_relay_acquires_lanes_while_another_owns_some_under_another_number(
    world: World,
) -> None:
    async with await world.psycopg() as owner, await world.psycopg() as late:
        old, new = Lanes(owner), Lanes(late)
        await old.join()
        await old.has_surplus()
        assert await old.acquire_share()
        await world.execute("UPDATE outbox_settings SET lanes = 4")
        await new.join()
        assert not await new.has_surplus()
        assert not await new.acquire_share()
        assert await old.has_surplus()
        await old.release_surplus()
        assert (old.owned, old.total) == (frozenset(), 4)
        for each in (new, old):
            assert not await each.has_surplus()
            assert await each.acquire_share()
        assert len(new.owned) == len(old.owned) == 2
        assert not new.owned & old.owned


async def test_the_number_of_lanes_is_changed_under_traffic_and_each_event_goes_out_once(
    broker_url: str,
) -> None:
    async with open_pair(broker_url) as pair:
        world, stop = pair.producer, asyncio.Event()
        relays = [world.relay(window=20) for _ in range(3)]
        async with running(*relays):
            writer, watcher = asyncio.create_task(write(world, stop)), watch(world, stop)
            watching = asyncio.create_task(watcher)
            for number in (16, 4, 16, 1, 64):
                await pair.say("lanes", "--set", str(number))
                await eventually(lambda: all_owned(pair, number))  # noqa: B023
            stop.set()
            rounds = await writer
            assert await watching == set(), "a bucket had two owners"
            await eventually(lambda: world.has_unpublished(0))
            found = (await pair.say("status", "--json")).json["outbox"]
        lanes = found["lanes"]
        assert (lanes["total"], len(lanes["relays"])) == (64, 3)
        assert sorted(n for r in lanes["relays"] for n in r["lanes"]) == list(range(64))
        assert found["backlog"]["events"] == 0
        sent = defaultdict(list)
        for message in await world.everything_delivered():
            sent[message.headers["cloudEvents:subject"]].append(message.headers["sequence"])
        assert sent == {f"a{n}": list(range(1, rounds + 1)) for n in range(AGGREGATES)}


async def all_owned(pair: Pair, number: int) -> bool:
    """Whether each lane of this number has an owner, and no relay is left under another."""
    [found] = [(await pair.say("status", "--json")).json["outbox"]["lanes"]]
    relays = found["relays"]
    return {r["of"] for r in relays} == {number} and sum(len(r["lanes"]) for r in relays) == number


async def write(world: World, stop: asyncio.Event) -> int:
    """Commit an event of each aggregate, round after round; returns how many rounds."""
    rounds = 0
    while not stop.is_set():
        rounds += 1
        await world.emit(*(Happened(f"a{n}", rounds) for n in range(AGGREGATES)))
        await pause(stop, 0.02)
    return rounds


async def watch(world: World, stop: asyncio.Event) -> set[int]:
    """The buckets that were seen to have two owners at once."""
    twice: set[int] = set()
    async with await world.psycopg() as connection:
        while not stop.is_set():
            owned = await (await connection.execute(OWNED)).fetchall()
            counted = Counter(
                bucket for of, lane in owned for bucket in range(int(str(lane)), 1024, int(str(of)))
            )
            twice |= {bucket for bucket, owners in counted.items() if owners > 1}
            await pause(stop, 0.005)
    return twice
