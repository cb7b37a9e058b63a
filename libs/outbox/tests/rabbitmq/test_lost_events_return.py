"""Both sides together: what the broker loses comes back, and what is gone is known."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator

import pytest

from kit.outbox.beacons import (
    WITH_WAY_BACK,
    answering,
    asked_ranges,
    beacon,
    has_beacons,
    has_sent_beacons,
    misses,
    purge,
    requests,
    send,
)
from kit.outbox.deliveries import effects, has_effects, record, stream_of
from kit.outbox.operator import say
from kit.outbox.world import QUEUE, SOURCE, Happened, World, running
from kit.waiting import eventually
from outbox import Consumer, metrics, resending
from outbox.cli.running import FOUND
from outbox.inbox import searcher
from outbox.inbox.operations import InboxOperations

NAMES = [f"s{n}" for n in range(10)]


@pytest.fixture
async def both(world: World) -> AsyncIterator[World]:
    """A world that asks itself."""
    world.topology = WITH_WAY_BACK
    async with running(answering(world)):
        yield world


def asking(world: World) -> Consumer:
    return world.consumer(record, resend=[SOURCE], missing_after=0.5)


async def test_the_last_events_of_streams_that_a_purge_has_lost_come_back(both: World) -> None:
    async with running(both.relay(beacon_every=2)):
        async with running(asking(both)):
            await both.emit(*(Happened(name) for name in NAMES))
            await eventually(lambda: has_effects(both, len(NAMES)))
            await eventually(lambda: has_beacons(both))
        await both.emit(*(Happened(name) for name in NAMES))
        await eventually(lambda: both.has_unpublished(0))
        await purge(both)
        async with running(asking(both)):
            await eventually(lambda: has_effects(both, 2 * len(NAMES)))
            await eventually(lambda: misses(both, {}))
    assert await effects(both) == {name: [1, 2] for name in NAMES}
    assert await asked_ranges(both) == dict.fromkeys(NAMES, ((2, 2),))


async def test_what_is_lost_together_with_its_beacon_comes_back_when_the_type_moves_again(
    both: World,
) -> None:
    """A purge takes the last events and their beacon; the next one has a number too many."""
    async with running(both.relay(beacon_every=1)):
        async with running(asking(both)):
            await both.emit(*(Happened(name) for name in NAMES))
            await eventually(lambda: has_effects(both, len(NAMES)))
            await eventually(lambda: has_beacons(both))
        [(number,)] = await both.rows("SELECT max(number) FROM outbox_beacons")
        await both.emit(*(Happened(name) for name in NAMES))
        await eventually(lambda: has_sent_beacons(both, beyond=number))
        await purge(both)
        async with running(asking(both)):
            await both.emit(Happened("other"))
            await eventually(lambda: has_effects(both, 2 * len(NAMES) + 1))
            await eventually(lambda: misses(both, {}))
            await eventually(lambda: has_no_hole(both))
    assert await effects(both) == {**{name: [1, 2] for name in NAMES}, "other": [1]}
    assert await asked_ranges(both) == dict.fromkeys(NAMES, ((2, 2),))


async def test_what_is_lost_before_a_consumer_has_heard_a_beacon_comes_back_too(
    both: World,
) -> None:
    async with running(asking(both)):
        await eventually(lambda: has_begun(both))
    async with running(both.relay(beacon_every=1)):
        await both.emit(*(Happened(name) for name in NAMES))
        await eventually(lambda: has_sent_beacons(both, beyond=0))
        await purge(both)
        async with running(asking(both)):
            await both.emit(Happened("other"))
            await eventually(lambda: has_effects(both, len(NAMES) + 1))
            await eventually(lambda: has_no_hole(both))
    assert await effects(both) == {name: [1] for name in [*NAMES, "other"]}


async def has_begun(world: World) -> bool:
    return await world.rows("SELECT FROM inbox_beacons") != []


async def has_no_hole(world: World) -> bool:
    return await world.rows("SELECT FROM inbox_beacons WHERE hole_since IS NOT NULL") == []


async def test_a_consumer_restored_from_a_backup_gets_again_what_it_had_acked_since(
    both: World,
) -> None:
    """Its queue has nothing of that any more, and most of its streams do not move."""
    async with running(both.relay(beacon_every=1)):
        async with running(asking(both)):
            await both.emit(*(Happened(name) for name in NAMES))
            await eventually(lambda: has_effects(both, len(NAMES)))
            await eventually(lambda: has_beacons(both))
        await both.execute(BACK_UP)
        async with running(asking(both)):
            await both.emit(*(Happened(name) for name in [*NAMES, "later"]))
            await eventually(lambda: has_effects(both, 2 * len(NAMES) + 1))
            await eventually(lambda: has_heard_more(both))
        await both.execute(RESTORE)
        async with running(asking(both)):
            await both.emit(Happened("other"))
            await eventually(lambda: has_effects(both, 2 * len(NAMES) + 2))
            await eventually(lambda: misses(both, {}))
    assert await effects(both) == {**{name: [1, 2] for name in NAMES}, "later": [1], "other": [1]}


TABLES = ("inbox", "inbox_beacons", "effects")
BACK_UP = "; ".join(f"CREATE TABLE old_{name} AS SELECT * FROM {name}" for name in TABLES)
RESTORE = "; ".join(
    f"DELETE FROM {name}; INSERT INTO {name} SELECT * FROM old_{name}" for name in TABLES
)


async def has_heard_more(world: World) -> bool:
    """Whether a beacon has come since the backup."""
    later = "SELECT FROM inbox_beacons b, old_inbox_beacons o WHERE b.number > o.number"
    return await world.rows(later) != []


async def test_a_lost_event_between_others_comes_back_without_a_beacon(both: World) -> None:
    async with running(both.relay(beacon_every=0)):
        await both.emit(Happened("a"))
        await eventually(lambda: both.has_unpublished(0))
        await purge(both)
        async with running(asking(both)):
            await both.emit(Happened("a"), Happened("a"))
            await eventually(lambda: has_effects(both, 3))
    assert await effects(both) == {"a": [1, 2, 3]}


async def test_what_its_source_puts_off_comes_after_a_later_request(
    both: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searcher, "ASK_AGAIN", 0.3)
    monkeypatch.setattr(resending, "AT_ONCE", 3)
    async with running(both.relay()):
        await both.emit(*(Happened(name) for name in NAMES))
        await eventually(lambda: both.has_unpublished(0))
        await purge(both)
        async with running(asking(both)):
            await send(both, beacon(1, **dict.fromkeys(NAMES, 1)))
            await eventually(lambda: has_effects(both, len(NAMES)))
            await eventually(lambda: misses(both, {}))
    assert await effects(both) == {name: [1] for name in NAMES}
    first, second, *_ = await requests(both)
    assert len(first.streams) == len(NAMES)
    assert len(second.streams) < len(NAMES)


async def test_what_its_source_has_not_kept_is_said_once_and_waits_for_a_person(
    both: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(searcher, "ASK_AGAIN", 0.3)
    consumer, unrecoverable = asking(both), metrics.UNRECOVERABLE.labels(QUEUE)._value
    async with running(both.relay(beacon_every=0)):
        await both.emit(*(Happened("a") for _ in range(3)), Happened("b"))
        await eventually(lambda: both.has_unpublished(0))
        await purge(both)
        await both.execute("DELETE FROM outbox WHERE aggregate_id = 'a' AND sequence < 3")
        with caplog.at_level(logging.WARNING):
            async with running(consumer):
                await send(both, beacon(1, a=3, b=1))
                await eventually(lambda: shows(consumer))
                await both.emit(Happened("a"), Happened("c"))
                await eventually(lambda: has_effects(both, 2))
                await eventually(lambda: misses(both, {"a": "{[1,3)}"}))
                before = len(await requests(both))
                assert unrecoverable.get() == 2
                where = {"DATABASE_URL": both.database_url}
                assert "unrecoverable" in (await say(where, "status", status=FOUND)).out
                said = (await say(where, "doctor", status=FOUND)).out
                assert "2 events of shop in 1 stream are unrecoverable" in said
                [found] = (await say(where, "parked", "missing", QUEUE, "--json")).json
                assert (found["sequences"], found["state"]) == ("1 to 2", "unrecoverable")
                assert "1 to 2" in (await say(where, "parked", "missing", QUEUE)).out
                async with await both.psycopg() as connection:
                    await InboxOperations(connection, QUEUE).skip(stream_of("a"))
                await eventually(lambda: has_effects(both, 4))
                await eventually(lambda: misses(both, {}))
                assert len(await requests(both)) == before
    assert await effects(both) == {"a": [3, 4], "b": [1], "c": [1]}
    lines = [line for line in caplog.messages if "does not have any more: 1 to 2" in line]
    assert len(lines) == 1


async def shows(consumer: Consumer) -> bool:
    return consumer.lost == [f"unrecoverable events of {SOURCE}"]
