"""A lost server is told apart from a bug and from a refusal, and is said once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import NoReturn
from urllib.parse import urlsplit

import aiormq.exceptions
import aiormq.tools
import psycopg
import pytest
from sqlalchemy.exc import ProgrammingError as WrappedError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import create_async_engine

from kit.manual_clock import Clock
from kit.outbox.world import QUEUE, Happened, World, install, running
from kit.servers import addresses
from kit.servers.databases import filled_database
from kit.waiting import eventually
from outbox import Envelope, Maintenance, Notifier, Outbox, Park, UnitOfWork, Work
from outbox.errors import BrokerRefused, DatabaseRefused
from outbox.jobs import JobSettings, JobWorker
from outbox.losses import Server, lost, refusal
from outbox.outages import AGAIN_AFTER, LATE, Dependent, Outages
from outbox.rabbitmq.connection import connect
from outbox.relay.settlement import Settlement
from outbox.supervise import Up, keep_running, together
from servicekit.testing import Outage

DATABASE, BROKER = Server.DATABASE, Server.BROKER


def state(code: str, kind: type[psycopg.Error] = psycopg.OperationalError) -> psycopg.Error:
    """An error as PostgreSQL reports it."""
    reported = kind("reported")
    reported.sqlstate = code
    return reported


@pytest.mark.parametrize(
    ("problem", "server"),
    [
        (psycopg.OperationalError("connection refused"), DATABASE),
        (psycopg.InterfaceError("the connection is closed"), DATABASE),
        (state("57P01"), DATABASE),
        (state("53300"), DATABASE),
        (state("25006"), DATABASE),
        (state("55P03"), DATABASE),
        (PoolTimeout("no connection is free"), DATABASE),
        (aiormq.exceptions.ConnectionClosed(320, "shutdown"), BROKER),
        (aiormq.exceptions.ChannelInvalidStateError("closed"), BROKER),
        (ConnectionResetError("reset"), BROKER),
        (TimeoutError("the broker is silent"), BROKER),
        (state("42P01", psycopg.ProgrammingError), None),
        (state("42601", psycopg.ProgrammingError), None),
        (state("22021", psycopg.DataError), None),
        (WrappedError("SELECT", {}, state("42P01", psycopg.ProgrammingError)), None),
        (psycopg.ProgrammingError("the query has 1 placeholder"), None),
        (RuntimeError("dictionary changed size during iteration"), None),
        (NotImplementedError(), None),
        (RecursionError("too deep"), None),
        (ValueError("a bug"), None),
        (TypeError("a bug"), None),
    ],
    ids=repr,
)
def test_losses_and_bugs_are_told_apart(problem: Exception, server: Server | None) -> None:
    assert lost(problem) is server


def raised_by(call: Callable[[], object]) -> Exception:
    try:
        call()
    except Exception as problem:
        return problem
    raise AssertionError("nothing was raised")


async def test_a_bare_runtime_error_is_a_loss_where_a_client_raised_it(broker_url: str) -> None:
    connection = await connect(broker_url, "test")
    await connection.close()
    assert lost(raised_by(connection.channel)) is BROKER


def test_a_bare_runtime_error_of_what_a_client_calls_is_a_bug() -> None:
    def callback(*_: object) -> Awaitable[None]:
        raise RuntimeError("dictionary changed size during iteration")

    problem = raised_by(aiormq.tools.shield(callback))
    assert lost(problem) is None


def test_a_refusal_is_final_only_at_the_first_connection() -> None:
    refused = psycopg.OperationalError('connection failed: FATAL:  database "x" does not exist')
    found = refusal(refused, first=True)
    assert isinstance(found, DatabaseRefused)
    assert str(found) == 'the database refuses us: database "x" does not exist'
    assert refusal(refused, first=False) is None
    assert lost(refused) is DATABASE
    assert refusal(BrokerRefused("no"), first=False) is None
    assert lost(BrokerRefused("no")) is BROKER


def test_missing_tables_are_never_waited_for() -> None:
    missing = state("42P01", psycopg.ProgrammingError)
    assert isinstance(refusal(missing, first=False), DatabaseRefused)


BUGS = [RuntimeError("a bug"), NotImplementedError("a bug"), RecursionError("a bug")]


@pytest.mark.parametrize("bug", BUGS, ids=repr)
async def test_a_bug_ends_a_service_at_once(bug: Exception) -> None:
    async def session(up: Up) -> None:
        up("works")
        raise bug

    with pytest.raises(type(bug), match="a bug"):
        async with asyncio.timeout(5):
            await keep_running("part", session, asyncio.Event())


async def test_a_bug_in_the_settlement_publishes_nothing_twice(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(_: Settlement) -> None:
        await world.delivered(3)
        raise RuntimeError("dictionary changed size during iteration")

    monkeypatch.setattr(Settlement, "run", broken)
    await world.emit(*(Happened(f"a{number}") for number in range(3)))
    with pytest.raises(RuntimeError, match="changed size"):
        async with asyncio.timeout(60):
            await world.relay().run(asyncio.Event())
    async with world.broker() as channel:
        queue = await channel.declare_queue(QUEUE, passive=True)
        assert queue.declaration_result.message_count == 0


@pytest.mark.parametrize("bug", BUGS, ids=repr)
async def test_a_bug_in_a_rule_ends_the_consumer_and_parks_nothing(
    world: World, bug: Exception
) -> None:
    async def fails(_unit: UnitOfWork, _event: Envelope) -> None:
        raise ValueError("so that the rules are asked")

    class Asked(dict[type[Exception], Park]):
        def get(self, *_: object) -> NoReturn:
            raise bug

    await world.emit(Happened("a"))
    async with running(world.relay()):
        with pytest.raises(type(bug), match="a bug"):
            async with asyncio.timeout(60):
                await world.consumer(fails, failures=Asked()).run(asyncio.Event())
    assert await world.rows("SELECT reason FROM inbox_parked") == []


async def test_a_refusal_among_services_that_run_together_is_raised_without_a_group() -> None:
    async def refused() -> None:
        raise BrokerRefused("no")

    with pytest.raises(BrokerRefused):
        await together(refused(), asyncio.sleep(60), refused())


@pytest.fixture
def clock() -> Clock:
    return Clock(1000.0)


@pytest.fixture
def outages(clock: Clock, caplog: pytest.LogCaptureFixture) -> Outages:
    caplog.set_level(logging.INFO, "outbox")
    return Outages(clock)


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    lines = [record.message for record in caplog.records if record.name == "outbox.outages"]
    caplog.clear()
    return lines


def test_one_lost_server_is_one_line_and_one_when_it_is_back(
    outages: Outages, caplog: pytest.LogCaptureFixture
) -> None:
    parts = [Dependent(name) for name in ("relay", "jobs 1", "jobs 2", "maintenance")]
    for part in parts * 3:
        outages.lost(part, DATABASE, "gone")
    assert said(caplog) == ["relay lost the database, tries again: gone"]
    for part in parts[1:]:
        outages.found(part)
    assert said(caplog) == []
    outages.found(parts[0])
    outages.found(parts[0])
    assert said(caplog) == ["the database is back"]


def test_an_outage_that_goes_on_is_logged_once_a_minute(
    outages: Outages, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    relay, jobs = Dependent("relay"), Dependent("jobs 1")
    for _ in range(180):
        outages.lost(relay, DATABASE, "gone")
        outages.lost(jobs, DATABASE, "gone")
        clock.now += 1
    again = "relay, jobs 1: still without the database, trying again: gone"
    assert said(caplog) == ["relay lost the database, tries again: gone", again, again]


def test_a_server_that_comes_and_goes_is_logged_once_a_minute(
    outages: Outages, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    relay = Dependent("relay")
    for _ in range(59):
        outages.lost(relay, BROKER, "gone")
        outages.found(relay)
        clock.now += 1
    assert len(said(caplog)) == 2
    clock.now += AGAIN_AFTER
    outages.lost(relay, BROKER, "gone")
    outages.found(relay)
    assert len(said(caplog)) == 2


def test_the_loss_of_a_steady_server_is_logged_at_once(
    outages: Outages, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    relay = Dependent("relay")
    for _ in range(2):
        outages.lost(relay, BROKER, "gone", steady=True)
        outages.found(relay)
        clock.now += LATE
    assert len(said(caplog)) == 4


def test_a_late_notice_of_a_loss_is_not_logged(
    outages: Outages, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("relay", "jobs 1"):
        part = Dependent(name)
        outages.lost(part, DATABASE, "gone", steady=True)
        outages.found(part)
        clock.now += LATE / 2
    assert len(said(caplog)) == 2


def test_a_service_that_ends_no_longer_lacks_a_server(
    outages: Outages, caplog: pytest.LogCaptureFixture
) -> None:
    outages.lost(Dependent("relay"), DATABASE, "gone")
    ending = Dependent("jobs 1")
    outages.lost(ending, BROKER, "gone")
    said(caplog)
    outages.ended(ending)
    outages.found(ending)
    assert said(caplog) == []


async def nothing(*_: object) -> None: ...


async def opened(url: str) -> Outage:
    parts = urlsplit(url)
    outage = Outage(parts.hostname or "", parts.port or 0)
    await outage.end()
    return outage


async def test_one_lost_database_of_a_whole_worker_is_one_line(
    broker_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Relay with doorbell, consumer with retrier, four calls of jobs, maintenance, notifier."""
    caplog.set_level(logging.INFO)
    with filled_database(addresses.postgres(), install) as real:
        outage = await opened(real)
        url = outage.before(real)
        engine = create_async_engine(url.replace("postgresql://", "postgresql+psycopg://"))
        async with Notifier(url) as notifier:
            work = Work(engine, Outbox("shop"), notifier)
            world = World(url, broker_url, engine, work)
            relay, consumer = world.relay(), world.consumer(nothing)
            jobs, maintenance = (
                JobWorker(work, {"pay": nothing}, JobSettings()),  # type: ignore[dict-item]
                Maintenance(engine),
            )
            parts = (relay, consumer, jobs, maintenance)

            async def all_up() -> bool:
                return all(part.running for part in parts)

            async def all_lost() -> bool:
                return not relay.running and not jobs.running

            async with running(*parts):
                await eventually(all_up)
                caplog.clear()
                await outage.begin()
                await eventually(all_lost)
                await outage.end()
                await eventually(lambda: is_said(caplog, "the database is back"))
                await eventually(all_up)
        await engine.dispose()
        await outage.begin()
    lines = [record.message for record in caplog.records if record.levelno >= logging.INFO]
    assert len(lines) == 2, lines
    assert "lost the database, tries again" in lines[0]
    assert lines[1] == "the database is back"


async def is_said(caplog: pytest.LogCaptureFixture, sentence: str) -> bool:
    return any(record.message == sentence for record in caplog.records)


async def test_one_lost_broker_of_a_whole_worker_is_one_line(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    outage = await opened(world.broker_url)
    world.broker_url = outage.before(world.broker_url)
    relay, consumer = world.relay(), world.consumer(nothing)

    async def all_up() -> bool:
        return relay.running and consumer.running

    async def all_lost() -> bool:
        return not relay.running and not consumer.running

    async with running(relay, consumer):
        await eventually(all_up)
        caplog.clear()
        await outage.begin()
        await eventually(all_lost)
        await outage.end()
        await eventually(lambda: is_said(caplog, "the broker is back"))
        await eventually(all_up)
    await outage.begin()
    lines = [(record.name, record.message) for record in caplog.records]
    assert [name for name, _ in lines] == ["outbox.outages", "outbox.outages"], lines
