"""Beacons on a real broker: who publishes them, what they say, and when nothing is said."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime

import pytest
from aio_pika import ExchangeType
from aiormq.abc import AbstractChannel

from kit.outbox.processes.relay import relay_process
from kit.outbox.world import Happened, World, running
from kit.waiting import eventually
from outbox import Subscription, resend_handlers
from outbox.log import beacon_queries
from outbox.rabbitmq.beacons import BEACONS, TYPE, Beacon, is_beacon
from outbox.resend_events import RESENDING, BeaconsMissed, ResendRequested, StreamRanges
from outbox.testing import Source, deliver

EVERY = 0.2
BACK = Subscription("kitchen", "shop.streams", "kitchen", (RESENDING,))


@dataclass
class Heard:
    """The beacons that a queue has got."""

    channel: AbstractChannel
    queue: str
    beacons: list[Beacon] = field(default_factory=list)

    async def poll(self) -> list[Beacon]:
        """All that have come until now."""
        while (delivery := await self.channel.basic_get(self.queue, no_ack=True)).body:
            assert is_beacon(delivery)
            self.beacons.append(Beacon.from_delivery(delivery))
        return self.beacons

    async def of(self, kind: str) -> list[Beacon]:
        return [one for one in await self.poll() if one.aggregate_type == kind]

    def says(self, **streams: int) -> Callable[[], Awaitable[bool]]:
        """Whether the last word about each of these orders is this sequence."""

        async def condition() -> bool:
            said: dict[str, int] = {}
            for beacon in await self.of("order"):
                said |= beacon.streams
            return said == streams

        return condition

    def numbers(self) -> list[int]:
        return [one.number for one in self.beacons if one.aggregate_type == "order"]


@pytest.fixture
async def heard(world: World) -> AsyncIterator[Heard]:
    async with hearing(world) as opened:
        yield opened


@asynccontextmanager
async def hearing(world: World) -> AsyncIterator[Heard]:
    async with world.broker() as channel:
        exchange = await channel.declare_exchange(BEACONS, ExchangeType.DIRECT, durable=True)
        queue = await channel.declare_queue("beacons.heard")
        for kind in ("order", "user"):
            await queue.bind(exchange, f"shop/{kind}")
        yield Heard(await channel.get_underlay_channel(), queue.name)


async def test_what_was_published_is_told_once_and_then_nothing_is_said(
    world: World, heard: Heard
) -> None:
    async with running(world.relay(beacon_every=EVERY)):
        await world.emit(Happened("a"), Happened("a"), Happened("b"))
        await eventually(heard.says(a=2, b=1))
        [first] = heard.beacons
        await world.emit(Happened("c"))
        await eventually(heard.says(a=2, b=1, c=1))
    # Rounds have passed meanwhile, and none of them repeated what was said.
    first, second = heard.beacons
    assert (first.streams, second.streams) == ({"a": 2, "b": 1}, {"c": 1})
    assert (first.number, second.number) == (1, 2)
    assert first.until <= second.since
    assert await world.rows("SELECT number FROM outbox_beacons") == [(2,)]


async def test_a_type_that_did_not_move_gets_no_beacon(world: World, heard: Heard) -> None:
    takes_users = Subscription("shop", "kitchen.users", "shop", ("user",))
    world.topology = type(world.topology)(["shop"], [*world.topology.subscriptions, takes_users])
    async with running(world.relay(beacon_every=EVERY)):
        await world.emit(Happened("a"))
        await eventually(heard.says(a=1))
        await world.emit(Happened("u", type="user.happened", aggregate_type="user"))
        await eventually(lambda: has_beacons(heard, "user", 1))
    assert len(await heard.of("order")) == 1
    # Its time goes on all the same: what is asked for next is not what lies between.
    assert len(await world.rows("SELECT DISTINCT until FROM outbox_beacons")) == 1


async def has_beacons(heard: Heard, kind: str, count: int) -> bool:
    return len(await heard.of(kind)) == count


async def test_of_two_relays_one_speaks_for_what_both_have_published(
    world: World, heard: Heard
) -> None:
    relays = [world.relay(beacon_every=EVERY), world.relay(beacon_every=EVERY)]
    async with running(*relays):
        await eventually(lambda: owns(8, *relays))
        await world.emit(*(Happened(f"a{n}") for n in range(64)))
        await eventually(heard.says(**{f"a{n}": 1 for n in range(64)}))
        await world.emit(Happened("b"))
        await eventually(heard.says(**{f"a{n}": 1 for n in range(64)}, b=1))
    numbers = heard.numbers()
    assert numbers == list(range(1, len(numbers) + 1))


async def owns(lanes: int, *relays: object) -> bool:
    return all(len(relay.lanes) == lanes for relay in relays)  # type: ignore[attr-defined]


async def test_the_next_owner_of_lane_0_goes_on_where_the_last_one_was(
    world: World, heard: Heard
) -> None:
    async with running(world.relay(beacon_every=EVERY)):
        await world.emit(Happened("a"))
        await eventually(heard.says(a=1))
        await eventually(lambda: is_stored(world, 1))
    async with running(world.relay(beacon_every=0)):
        await world.emit(Happened("b"))
        await eventually(lambda: world.has_unpublished(0))
    async with running(world.relay(beacon_every=EVERY)):
        await eventually(heard.says(a=1, b=1))
        await eventually(lambda: is_stored(world, 2))
    first, second = heard.beacons
    assert (second.number, second.streams) == (2, {"b": 1})
    assert first.until <= second.since


async def is_stored(world: World, number: int) -> bool:
    return await world.rows("SELECT number FROM outbox_beacons") == [(number,)]


async def test_a_relay_killed_between_publishing_and_storing_repeats_the_same_numbers(
    world: World, heard: Heard
) -> None:
    await world.emit(Happened("a"))
    addresses = world.database_url, world.broker_url
    async with relay_process(*addresses, die_at="beacons.published", beacon_every=1) as doomed:
        assert await doomed.wait() == -signal.SIGKILL
    assert await world.rows("SELECT * FROM outbox_beacons") == []
    async with relay_process(*addresses, beacon_every=1):
        await eventually(lambda: is_stored(world, 1))
    await heard.poll()
    assert heard.numbers() == [1, 1]
    assert [one.streams for one in heard.beacons] == [{"a": 1}] * 2


async def test_a_round_of_many_streams_is_several_beacons_of_which_the_last_one_ends_it(
    world: World, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beacon_queries, "MAX_STREAMS", 10)
    await world.emit(*(Happened(f"a{n}") for n in range(25)))
    async with running(world.relay(beacon_every=EVERY)):
        await eventually(heard.says(**{f"a{n}": 1 for n in range(25)}))
    assert heard.numbers() == [1, 2, 3]
    first, second, third = heard.beacons
    assert first.until == first.since == second.until == second.since == third.since < third.until


async def test_without_beacons_nothing_is_published_or_stored(world: World, heard: Heard) -> None:
    async with running(world.relay(beacon_every=0)):
        await world.emit(Happened("a"))
        await eventually(lambda: world.has_unpublished(0))
    assert await heard.poll() == []
    assert await world.rows("SELECT * FROM outbox_beacons") == []


async def test_a_broker_that_refuses_beacons_stops_nothing_else(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    async with world.broker() as channel:
        await channel.exchange_delete(BEACONS)
        await channel.declare_exchange(BEACONS, ExchangeType.FANOUT)
    async with running(world.relay(beacon_every=EVERY)):
        await world.emit(Happened("a"))
        await eventually(lambda: said(caplog, "the broker refuses beacons"))
        await world.emit(Happened("b"))
        assert len(await world.delivered(2, declare=False)) == 2
        await eventually(lambda: world.has_unpublished(0))
    assert await world.rows("SELECT * FROM outbox_beacons") == []


async def said(caplog: pytest.LogCaptureFixture, words: str) -> bool:
    return words in caplog.text


async def test_beacons_that_are_asked_for_are_told_once_more_although_nothing_moves(
    world: World, heard: Heard
) -> None:
    async with running(world.relay(beacon_every=EVERY)):
        await world.emit(Happened("a"))
        await eventually(heard.says(a=1))
        await eventually(lambda: is_stored(world, 1))
        [first] = heard.beacons
        await ask(world, ResendRequested("shop", "kitchen.orders", beacons=missed(first.since)))
        await eventually(lambda: has_beacons(heard, "order", 2))
        await ask(world, ResendRequested("shop", "kitchen.orders", beacons=missed(first.until)))
        await eventually(lambda: has_stored_what_was_asked(world))
    again = heard.beacons[1]
    assert (again.number, again.streams) == (2, {"a": 1})
    assert (again.since, again.until) == (first.since, first.until)


async def has_stored_what_was_asked(world: World) -> bool:
    return await world.rows("SELECT asked_since FROM outbox_beacons") == [(None,)]


def missed(since: datetime) -> tuple[BeaconsMissed, ...]:
    return (BeaconsMissed("order", since),)


async def ask(world: World, request: ResendRequested) -> None:
    [envelope] = Source("kitchen").envelopes(request)
    assert await deliver(world.work, BACK.queue, resend_handlers(BACK), envelope) == []


async def test_events_that_are_asked_for_are_published_again_at_once(
    world: World, heard: Heard
) -> None:
    asked = ResendRequested("shop", "kitchen.orders", (StreamRanges("order", "a", ((2, 3),)),))
    async with running(world.relay(rescan_interval=3600, beacon_every=EVERY)):
        await world.emit(*(Happened("a") for _ in range(4)))
        await events(world, 4)
        await eventually(heard.says(a=4))
        await ask(world, asked)
        assert await events(world, 2) == [2, 3]
        # What was sent again is told again.
        await eventually(lambda: has_beacons(heard, "order", 2))
    assert heard.beacons[-1].streams == {"a": 3}


async def events(world: World, count: int) -> list[object]:
    """The sequences of so many events off the queue, which gets beacons too."""
    found: list[object] = []
    while len(found) < count:
        [message] = await world.delivered(1)
        if message.type != TYPE:
            found.append(message.headers["sequence"])
    return found
