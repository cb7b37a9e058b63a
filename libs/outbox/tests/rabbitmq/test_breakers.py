"""The circuit breaker: an event type whose dependency is away waits, and goes on by itself."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace

from typer.testing import CliRunner

from kit.outbox.deliveries import effects, events, has_effects, publish, record
from kit.outbox.world import QUEUE, World, running
from kit.waiting import eventually
from outbox import (
    CircuitBreaker,
    ConsumerSettings,
    Envelope,
    HandlersByType,
    Inbox,
    Retry,
    UnitOfWork,
)
from outbox.cli.commands import app
from outbox.inbox.consumer import Consumer
from outbox.inbox.operations import InboxOperations
from outbox.inbox.tripped_types import TrippedTypes
from outbox.operations.status import status

SOON = CircuitBreaker(streams=3, base=0.001, ceiling=0.001)
SOMETIME = CircuitBreaker(streams=3, base=600, ceiling=600)


class Bank:
    """A dependency of the handler of `order.payed`: it may be away."""

    def __init__(self) -> None:
        self.away = True
        self.calls = 0

    async def pay(self, unit: UnitOfWork, event: Envelope) -> None:
        self.calls += 1
        if self.away:
            raise ConnectionError("the bank is away")
        await record(unit, event)


def inbox_of(world: World, bank: Bank, breaker: CircuitBreaker = SOON) -> Inbox:
    return Inbox(QUEUE, handlers_of(bank), world.work, settings(breaker))


def handlers_of(bank: Bank) -> HandlersByType:
    return {"order.happened": record, "order.payed": bank.pay}


def settings(breaker: CircuitBreaker) -> ConsumerSettings:
    failures = {Exception: Retry(base=600, ceiling=600)}
    return ConsumerSettings(breaker=breaker, failures=failures, retry_every=0.05)


def payed(count: int, aggregate: str) -> list[Envelope]:
    return [replace(event, type="order.payed") for event in events(count, aggregate)]


def streams(first: int, last: int, count: int = 2) -> list[Envelope]:
    return [event for n in range(first, last) for event in payed(count, f"s{n:02}")]


async def reasons(world: World) -> dict[object, object]:
    return dict(
        await world.rows("SELECT reason, count(*) FROM inbox_parked GROUP BY reason ORDER BY 1")
    )


async def test_a_tripped_type_waits_untried_and_other_types_go_on(world: World) -> None:
    bank = Bank()
    inbox = inbox_of(world, bank, SOMETIME)
    await inbox.handle(streams(0, 5))
    await inbox.prober.obey()
    calls = bank.calls
    await inbox.handle([*streams(5, 25), *events(2, "b")])
    assert bank.calls == calls
    assert await effects(world) == {"b": [1, 2]}
    assert await reasons(world) == {"failed": 3, "tripped": 22, "behind": 25}
    assert await world.rows("SELECT sum(attempts) FROM inbox_parked") == [(3,)]
    assert inbox.closed_types("tripped") == ["order.payed"]
    # Retries and redrives of what failed before wait too.
    async with await world.psycopg() as connection:
        await InboxOperations(connection, QUEUE).redrive()
    await inbox.retry_due()
    assert bank.calls == calls
    assert await reasons(world) == {"tripped": 25, "behind": 25}


async def test_all_processes_obey_what_has_tripped_in_one(world: World) -> None:
    bank = Bank()
    one, other = inbox_of(world, bank, SOMETIME), inbox_of(world, bank, SOMETIME)
    await one.handle(streams(0, 3))
    await one.prober.obey()
    await other.prober.obey()
    calls = bank.calls
    await other.handle(streams(3, 6))
    assert bank.calls == calls
    async with await world.psycopg() as connection:
        [tripped] = await TrippedTypes(connection).all()
    assert (tripped.consumer, tripped.type, tripped.probes) == (QUEUE, "order.payed", 0)
    assert tripped.cause.startswith("ConnectionError in ")


async def test_a_failed_probe_counts_no_attempt_and_the_next_tries_another_event(
    world: World,
) -> None:
    bank = Bank()
    inbox = inbox_of(world, bank)
    await inbox.handle(streams(0, 6))
    calls = bank.calls
    for probes in range(4):
        [tripped] = await inbox.prober.obey()
        assert tripped.probes == probes
        await eventually(lambda: probed(inbox, bank, calls + probes + 1))  # noqa: B023
    assert await world.rows("SELECT max(attempts) FROM inbox_parked") == [(1,)]
    assert await world.rows(
        "SELECT max(cardinality(failed_at)) FROM inbox_parked WHERE attempts = 0"
    ) == [(1,)], "each probe was another event"
    assert await world.rows("SELECT count(*) FROM inbox_attempts") == [(0,)]


async def probed(inbox: Inbox, bank: Bank, calls: int) -> bool:
    for tripped in await inbox.prober.obey():
        await inbox.prober.probe(tripped)
    return bank.calls >= calls


async def test_one_process_at_a_time_probes(world: World) -> None:
    bank = Bank()
    inboxes = [inbox_of(world, bank) for _ in range(4)]
    await inboxes[0].handle(streams(0, 3))
    found = [await inbox.prober.obey() for inbox in inboxes]
    await world.execute("UPDATE inbox_tripped SET next_probe_at = now()")
    calls = bank.calls
    probes = zip(inboxes, found, strict=True)
    await asyncio.gather(*(inbox.prober.probe(tripped) for inbox, [tripped] in probes))
    assert bank.calls - calls == 1


async def test_after_a_probe_that_succeeds_everything_goes_on_in_order(world: World) -> None:
    bank = Bank()
    inbox = inbox_of(world, bank)
    await inbox.handle(streams(0, 6, count=3))
    await inbox.prober.obey()
    bank.away = False
    await eventually(lambda: is_open(inbox))
    await inbox.report()
    await inbox.resume("tripped")
    await world.execute(
        "UPDATE inbox_parked SET next_attempt_at = now() WHERE next_attempt_at > now()"
    )
    while await reasons(world):
        await inbox.retry_due()
    assert await effects(world) == {f"s{n:02}": [1, 2, 3] for n in range(6)}
    assert await world.rows("SELECT count(*) FROM inbox_tripped") == [(0,)]


async def is_open(inbox: Inbox) -> bool:
    for tripped in await inbox.prober.obey():
        await inbox.prober.probe(tripped)
    return not inbox.closed_types("tripped")


async def test_status_names_a_tripped_type_and_nobody_is_needed(world: World) -> None:
    inbox = inbox_of(world, Bank(), SOMETIME)
    await inbox.handle(streams(0, 6))
    await inbox.prober.obey()
    command = ["status", "--database-url", world.database_url]
    shown = await asyncio.to_thread(CliRunner().invoke, app, command)
    assert shown.exit_code == 0, shown.output
    assert "tripped" in shown.output
    assert "ConnectionError in" in shown.output
    async with await world.psycopg() as connection:
        found = await status(connection)
    assert found.inbox is not None
    assert [one.type for one in found.inbox.tripped] == ["order.payed"]
    assert not found.needs_a_person


async def test_a_type_of_which_nothing_waits_any_more_is_handled_again(world: World) -> None:
    bank = Bank()
    inbox = inbox_of(world, bank)
    await inbox.handle(streams(0, 3))
    await inbox.prober.obey()
    await world.execute("DELETE FROM inbox_parked")
    await eventually(lambda: is_open(inbox))


async def test_an_outage_heals_by_itself_with_several_processes(world: World) -> None:
    """Attempts are bounded: those that trip the type, and one for each probe."""
    bank, count, breaker = Bank(), 60, CircuitBreaker(streams=5, base=0.05, ceiling=0.2)

    def consumer() -> Consumer:
        return Consumer(
            queue=QUEUE,
            handlers=handlers_of(bank),
            work=world.work,
            broker_url=world.broker_url,
            topology=world.topology,
            settings=replace(
                settings(breaker),
                concurrency=2,
                failures={Exception: Retry(base=0.05, ceiling=0.1)},
            ),
        )

    one, other = consumer(), consumer()
    async with running(one), running(other):
        await publish(world, *streams(0, count))
        await eventually(lambda: waits(world, 2 * count))
        tripped_after = bank.calls
        assert one.tripped_types == other.tripped_types == ["order.payed"]
        await publish(world, *(payed(3, f"s{n:02}")[2] for n in range(count)), *events(1, "b"))
        await eventually(lambda: has_effects(world, 1))
        [(probes,)] = await world.rows("SELECT probes FROM inbox_tripped")
        bank.away = False
        await eventually(lambda: has_effects(world, 3 * count + 1))
    assert await effects(world) == {f"s{n:02}": [1, 2, 3] for n in range(count)} | {"b": [1]}
    assert tripped_after < count
    assert Counter(dict(await world.rows("SELECT reason, 1 FROM inbox_parked"))) == {}
    assert isinstance(probes, int)
    assert one.tripped_types == other.tripped_types == []


async def waits(world: World, count: int) -> bool:
    return await world.rows(
        "SELECT count(*), count(*) FILTER (WHERE reason = 'failed') FROM inbox_parked"
    ) == [(count, 0)]
