"""What the relay promises, on the real database and broker."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from itertools import permutations

import aio_pika
import httpx
import pytest
from prometheus_client import REGISTRY

from kit.outbox.world import EXCHANGE, QUEUE, Happened, World, running
from kit.servers import addresses
from kit.waiting import eventually
from outbox import Relay
from outbox.errors import EventTooLarge, LanesMismatch
from outbox.relay.lanes import Lanes


def numbers(messages: list[aio_pika.abc.AbstractIncomingMessage]) -> list[object]:
    return [message.headers["sequence"] for message in messages]


async def test_a_committed_event_reaches_the_queue_and_is_marked(world: World) -> None:
    async with running(world.relay()):
        await world.emit(Happened("a", 7))
        [message] = await world.delivered(1)
        await eventually(lambda: world.has_unpublished(0))
    assert message.body == b'{"number": 7}'
    assert message.headers["sequence"] == 1
    assert message.type == message.routing_key == "order.happened"
    assert message.app_id == message.headers["cloudEvents:source"] == "shop"
    assert message.headers["cloudEvents:subject"] == "a"
    assert message.message_id == message.headers["cloudEvents:id"]


async def test_a_mark_does_not_wait_for_the_disk_and_a_moved_event_does(world: World) -> None:
    for statement in _NOTE_COMMITS:
        await world.execute(statement)
    async with world.work.begin() as unit:
        await unit.schedule(Happened("a"), key="one", at=datetime.now(UTC))
    async with running(world.relay()):
        await world.delivered(1)
        await eventually(lambda: world.has_unpublished(0))
    assert await world.rows("SELECT DISTINCT what, waits FROM commits ORDER BY what") == [
        ("INSERT", "on"),
        ("UPDATE", "off"),
    ]


_NOTE_COMMITS = (
    "CREATE TABLE commits (what text, waits text)",
    """
    CREATE FUNCTION note_commit() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      INSERT INTO commits VALUES (tg_op, current_setting('synchronous_commit'));
      RETURN NULL;
    END $$
    """,
    """
    CREATE TRIGGER note_commit AFTER INSERT OR UPDATE ON outbox
       FOR EACH STATEMENT EXECUTE FUNCTION note_commit()
    """,
)


async def test_an_event_of_a_rolled_back_transaction_is_never_published(world: World) -> None:
    with pytest.raises(ZeroDivisionError):
        await emit_and_fail(world)
    async with running(world.relay()):
        await world.emit(Happened("b"))
        [message] = await world.delivered(1)
    assert message.headers["cloudEvents:subject"] == "b"


async def emit_and_fail(world: World) -> None:
    async with world.work.begin() as unit:
        await unit.emit(Happened("a"))
        raise ZeroDivisionError


async def test_two_relays_keep_the_order_of_each_aggregate(world: World) -> None:
    async with running(world.relay(window=10), world.relay(window=10)):
        for number in range(30):
            await world.emit(*(Happened(f"a{n}", number) for n in range(10)))
        messages = await world.delivered(300)
    for n in range(10):
        mine = [m for m in messages if m.headers["cloudEvents:subject"] == f"a{n}"]
        assert numbers(mine) == list(range(1, 31))


async def test_two_relays_share_the_lanes_evenly_and_the_second_takes_over(world: World) -> None:
    first, second = world.relay(), world.relay()
    async with running(first):
        async with running(second):
            await eventually(lambda: own(8, first, 8, second))
        await eventually(lambda: own(16, first, 0, second))


async def test_a_new_owner_of_a_lane_leaves_the_followers_of_a_parked_event_waiting(
    world: World,
) -> None:
    await world.emit(Happened("known", 1), Happened("known", 2))
    await park(world, "known")
    async with await world.psycopg() as owner:
        theirs = Lanes(owner)
        await theirs.join()
        await theirs.has_surplus()
        assert await theirs.acquire_share()
        # It stands by until the other is gone, and has looked at everything before that.
        async with running(world.relay(rescan_interval=600.0)):
            await eventually(lambda: reported(1), within=60)
            await world.emit(Happened("a", 1), Happened("a", 2), Happened("a", 3))
            await park(world, "a")
            await owner.close()
            await eventually(lambda: world.has_owned_lanes(16), within=60)
            await world.emit(Happened("b"))
            [message] = await world.delivered(1, within=60)
            assert message.headers["cloudEvents:subject"] == "b"
            await eventually(lambda: reported(2), within=60)
    assert await world.unpublished() == 5


async def park(world: World, aggregate_id: str) -> None:
    """As a relay does it with the first event of an aggregate."""
    await world.execute(
        "UPDATE outbox SET parked_at = clock_timestamp() WHERE id ="
        " (SELECT min(id) FROM outbox WHERE aggregate_id = %s)",
        aggregate_id,
    )


async def reported(backed_off: int) -> bool:
    return (
        REGISTRY.get_sample_value("outbox_backed_off_aggregates", {"exchange": EXCHANGE})
        == backed_off
    )


async def own(ours: int, first: Relay, theirs: int, second: Relay) -> bool:
    assert first is second or not first.lanes & second.lanes
    return (len(first.lanes), len(second.lanes)) == (ours, theirs)


async def test_an_unroutable_event_is_not_marked_and_goes_when_the_binding_is_back(
    world: World,
) -> None:
    async with running(world.relay()):
        await world.emit(Happened("a"))
        await world.delivered(1)
        await eventually(lambda: world.has_unpublished(0))
        async with world.broker() as channel:
            queue = await channel.get_queue(QUEUE, ensure=False)
            await queue.unbind(EXCHANGE, "order.#")
            await world.emit(Happened("a"), Happened("a"))
        assert numbers(await world.delivered(2, declare=False)) == [2, 3]
        await eventually(lambda: world.has_unpublished(0))
    attempts = await world.rows("SELECT attempts FROM outbox ORDER BY id")
    assert attempts[1] >= (1,), "it was returned at least once before the binding came back"


async def test_an_event_that_commits_late_under_a_lower_id_is_published(world: World) -> None:
    async with running(world.relay()), world.work.begin() as slow:
        await slow.connection
        await slow.emit(Happened("slow"))
        await world.emit(Happened("fast"))
        [message] = await world.delivered(1)
        assert message.headers["cloudEvents:subject"] == "fast"
        for _ in range(20):
            await world.emit(Happened("fast"))
        await world.delivered(20)
    async with running(world.relay()):
        [message] = await world.delivered(1)
    assert message.headers["cloudEvents:subject"] == "slow"


async def test_transactions_that_overlap_are_all_seen_whichever_ends_first(world: World) -> None:
    async with running(world.relay(rescan_interval=1000.0, poll_ceiling=0.05)):
        for order in permutations("abc"):
            open_ones = {}
            for name in "abc":
                transaction = world.work.begin()
                open_ones[name] = transaction
                await (await transaction.__aenter__()).emit(Happened(name))
            for name in order:
                await open_ones[name].__aexit__(None, None, None)
                await world.emit(Happened("beside"))
                await world.delivered(2)


async def test_a_transaction_that_writes_elsewhere_does_not_keep_the_watermark_down(
    world: World,
) -> None:
    relay = world.relay()
    async with running(relay), world.engine.begin() as elsewhere:
        await elsewhere.exec_driver_sql("INSERT INTO effects (aggregate_id) VALUES ('x')")
        await world.emit(*(Happened(f"a{n}") for n in range(10)))
        await eventually(lambda: has_watermark(relay, 10))


async def has_watermark(relay: Relay, value: int) -> bool:
    return relay._loop is not None and relay._loop.watermark.value == value


async def test_the_first_event_of_all_is_seen_by_a_relay_that_was_there_before(
    world: World,
) -> None:
    async with running(relay := world.relay(rescan_interval=1000.0)):
        await eventually(lambda: own(16, relay, 16, relay))
        await asyncio.sleep(0.3)  # several reads of an outbox table that has never had an event
        await world.emit(Happened("a"))
        await world.delivered(1)


async def test_a_relay_comes_back_after_its_database_session_was_killed(world: World) -> None:
    async with running(world.relay()):
        await world.emit(Happened("a"))
        await world.delivered(1)
        await world.rows(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'outbox relay' AND datname = current_database()"
        )
        await world.emit(Happened("a"))
        assert numbers(await world.delivered(1)) in ([2], [1])


async def test_a_relay_set_up_for_other_lanes_refuses_to_run(world: World) -> None:
    with pytest.raises(LanesMismatch):
        await world.relay(lanes=4).run(asyncio.Event())


async def test_a_body_over_one_mebibyte_is_refused_when_added(world: World) -> None:
    with pytest.raises(EventTooLarge):
        await world.emit(Happened("a", body=b'"' + b"x" * 2**20 + b'"'))
    assert await world.unpublished() == 0


async def test_nacked_events_go_again_until_the_queue_has_room(world: World) -> None:
    async with world.broker():
        pass
    set_policy(world.broker_url, {"max-length": 1})
    async with running(world.relay()):
        # A quorum queue says that it is full only some time after it was filled.
        rounds = 0
        while not await world.unpublished():
            rounds += 1
            await world.emit(*(Happened(f"a{n}") for n in range(5)))
            await eventually(lambda: all_were_tried(world))
        set_policy(world.broker_url, {"max-length": 1000})
        await eventually(lambda: world.has_unpublished(0))
    places = {
        (m.headers["cloudEvents:subject"], m.headers["sequence"])
        for m in await world.everything_delivered()
    }
    assert places == {(f"a{n}", sequence) for n in range(5) for sequence in range(1, rounds + 1)}


async def all_were_tried(world: World) -> bool:
    [(count,)] = await world.rows(
        "SELECT count(*) FROM outbox o WHERE published_at IS NULL AND last_error IS NULL"
        " AND NOT EXISTS (SELECT FROM outbox p WHERE p.aggregate_id = o.aggregate_id"
        " AND p.id < o.id AND p.last_error = 'nacked')"
    )
    return bool(count == 0)


def set_policy(broker_url: str, definition: dict[str, int]) -> None:
    vhost = broker_url.rpartition("/")[2]
    httpx.put(
        f"{addresses.rabbitmq_management()}/api/policies/{vhost}/narrow",
        json={"pattern": f"^{QUEUE}$", "definition": definition, "apply-to": "queues"},
        timeout=30,
    ).raise_for_status()
