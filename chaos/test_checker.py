"""The checker finds what a broken inbox does, and finds nothing wrong with a sound one."""

from __future__ import annotations

import asyncio
import signal

import pytest

from chaos import broker_tampering, commands
from chaos.checker import Report, examine
from chaos.fleet import Fleet
from chaos.quiescence import settled
from chaos.scenario import KITCHEN, SHOP, WRITE, Environment, Event
from kit.waiting import eventually
from outbox import Outbox

EVENTS, AGGREGATES = 6, ("a", "b", "c")


def write(environment: Environment) -> None:
    """Commit each event in a transaction of its own, before a relay runs."""
    log = Outbox(SHOP.name)
    with environment.connect(SHOP) as connection:
        for number in range(1, EVENTS + 1):
            for aggregate in AGGREGATES:
                event = Event("order", aggregate, number)
                with connection.transaction():
                    connection.execute(WRITE, event.row)
                    log.add_sync(connection, event)


@pytest.fixture
async def queued(environment: Environment, fleet: Fleet) -> Environment:
    """All events are published and wait for a consumer."""
    await asyncio.to_thread(write, environment)
    fleet.add("relay", "shop", 1)
    await eventually(lambda: published(environment))
    return environment


async def published(environment: Environment) -> bool:
    with environment.connect(SHOP) as connection:
        found = connection.execute("SELECT count(*) FROM outbox WHERE published_at IS NULL")
        return found.fetchone() == (0,)


async def consumed(environment: Environment, fleet: Fleet, how: str) -> Report:
    fleet.add("consumer", "kitchen", 1, CHAOS_BREAK=how)
    slots = fleet.of("consumer")

    async def took_all() -> bool:
        """Deliveries without an ack return to the queue when the consumer ends."""
        await eventually(lambda: broker_tampering.is_empty(environment, KITCHEN))
        await no_more_effects(environment)
        await fleet.keep_down(slots, signal.SIGTERM)
        if not (empty := await broker_tampering.is_empty(environment, KITCHEN)):
            fleet.release(slots)
        return empty

    await eventually(took_all)
    return await asyncio.to_thread(examine, environment, KITCHEN)


async def no_more_effects(environment: Environment) -> None:
    """A consumer that is stopped sooner gives back what it has in hand, again and again."""
    before, now = -1, 0
    while before != now:
        await asyncio.sleep(0.5)
        before, now = now, effects(environment)


def effects(environment: Environment) -> int:
    with environment.connect(KITCHEN) as connection:
        return len(connection.execute("SELECT FROM effects").fetchall())


@pytest.mark.parametrize(("how", "seen"), [("", set()), ("dedupe", {"twice"})])
async def test_an_inbox_that_applies_duplicates_is_seen(
    queued: Environment, fleet: Fleet, how: str, seen: set[str]
) -> None:
    again = broker_tampering.envelopes(queued, "shop", 5)
    await broker_tampering.publish(queued, "shop", again)
    assert set((await consumed(queued, fleet, how)).wrong) == seen


@pytest.mark.parametrize(("how", "seen"), [("", set()), ("order", {"misordered"})])
async def test_an_inbox_that_applies_as_it_comes_is_seen(
    queued: Environment, fleet: Fleet, how: str, seen: set[str]
) -> None:
    while await broker_tampering.steal(queued, KITCHEN) or not await broker_tampering.is_empty(
        queued, KITCHEN
    ):
        pass
    backwards = broker_tampering.envelopes(queued, "shop", EVENTS * len(AGGREGATES))
    await broker_tampering.publish(queued, "shop", backwards)
    assert set((await consumed(queued, fleet, how)).wrong) == seen


@pytest.mark.parametrize(
    ("how", "seen", "missed"),
    [("", {"lost"}, 1), ("gap", {"lost", "overtaken"}, 0)],
    ids=["sound", "gap"],
)
async def test_a_lost_event_is_seen_and_so_is_an_inbox_that_steps_over_it(
    queued: Environment, fleet: Fleet, how: str, seen: set[str], missed: int
) -> None:
    assert await broker_tampering.steal(queued, KITCHEN)
    report = await consumed(queued, fleet, how)
    assert set(report.wrong) == seen
    assert len(report.lost) == 1
    assert len(await commands.missing_events(queued, KITCHEN)) == missed


async def test_a_run_that_is_stuck_ends_with_what_is_lost(queued: Environment) -> None:
    with pytest.raises(AssertionError, match=r"nothing moves: 0 on their way .*'lost'"):
        await settled(queued, still=1)
