"""The suite of an application that uses the library, with nothing of this repository beside it.

`make test-versions` runs this file alone on the lowest and the newest versions of what the wheel
says it needs.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from uuid import uuid4

import aio_pika
import psycopg
import pytest
from sqlalchemy import create_engine, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from outbox import (
    BackgroundService,
    Consumer,
    Envelope,
    Maintenance,
    Outbox,
    Relay,
    Subscription,
    Topology,
    UnitOfWork,
    Work,
    declare_inbox,
    jobs,
    open_work,
    schema,
)
from outbox.testing import RecordingPublisher, Source, deliver, duplicated, relay_once, reordered


class Base(DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = "orders"

    id: Mapped[int] = mapped_column(primary_key=True)
    meal: Mapped[str]


class Meal(Base):
    __tablename__ = "meals"

    order_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    meal: Mapped[str]


outbox = Outbox("shop", Base.metadata)
declare_inbox(Base.metadata)
jobs.declare_jobs(Base.metadata)


@dataclass(frozen=True)
class OrderPlaced:
    order_id: int
    meal: str = "soup"
    type: str = "order.placed"
    version: int = 1
    aggregate_type: str = "order"

    @property
    def aggregate_id(self) -> str:
        return str(self.order_id)

    def payload(self) -> bytes:
        return json.dumps({"meal": self.meal}).encode()


async def cook(unit: UnitOfWork, event: Envelope) -> None:
    meal = json.loads(event.payload)["meal"]
    if meal == "poison":
        raise ValueError(meal)
    session = AsyncSession(unit.connection, join_transaction_mode="create_savepoint")
    async with session, session.begin():
        session.add(Meal(order_id=int(event.stream.aggregate_id), meal=meal))


HANDLERS = {"order.placed": cook}


def sqlalchemy_url(url: str) -> str:
    return url.replace("postgresql://", "postgresql+psycopg://", 1)


@pytest.fixture
def shop_url() -> Iterator[str]:
    """A database of its own with all tables, made as most suites make them."""
    admin, name = os.environ["TEST_POSTGRES_URL"], f"test_{uuid4().hex[:12]}"
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
        url = f"{admin.rpartition('/')[0]}/{name}"
        engine = create_engine(sqlalchemy_url(url))
        Base.metadata.create_all(engine)
        engine.dispose()
        yield url
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
async def engine(shop_url: str) -> AsyncIterator[AsyncEngine]:
    made = create_async_engine(sqlalchemy_url(shop_url))
    yield made
    await made.dispose()


@pytest.fixture
async def work(shop_url: str, engine: AsyncEngine) -> AsyncIterator[Work]:
    async with open_work(engine, shop_url, outbox) as made:
        yield made


async def place_order(engine: AsyncEngine, *meals: str) -> None:
    async with AsyncSession(engine) as session, session.begin():
        for meal in meals:
            order = Order(meal=meal)
            session.add(order)
            await session.flush()
            await outbox.add(session, OrderPlaced(order.id, meal))


async def count(engine: AsyncEngine, table: type[Base]) -> int:
    async with AsyncSession(engine) as session:
        return await session.scalar(select(func.count()).select_from(table)) or 0


async def published(engine: AsyncEngine) -> list[Envelope]:
    async with engine.begin() as connection:
        return await relay_once(connection, RecordingPublisher())


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(60):
        while not await condition():  # noqa: ASYNC110 the condition is in another process
            await asyncio.sleep(0.05)


async def test_create_all_makes_tables_that_will_do(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        await schema.check(connection, ["outbox", "inbox", "jobs"])
    assert await Maintenance(engine).prepare()


async def test_an_order_and_its_event_are_one_transaction(engine: AsyncEngine) -> None:
    await place_order(engine, "soup", "bread")
    assert [event.type for event in await published(engine)] == ["order.placed"] * 2
    assert await published(engine) == []


async def test_a_rollback_removes_the_event(engine: AsyncEngine) -> None:
    async with AsyncSession(engine) as session:
        await outbox.add(session, OrderPlaced(1))
        session.add_all([Order(id=1, meal="soup"), Order(id=1, meal="again")])
        with pytest.raises(IntegrityError):
            await session.commit()
    assert await published(engine) == []


def test_a_synchronous_session_adds_events_too(shop_url: str) -> None:
    engine = create_engine(sqlalchemy_url(shop_url))
    with Session(engine) as session, session.begin():
        [event_id] = outbox.add_sync(session, OrderPlaced(1))
    with psycopg.connect(shop_url) as plain:
        assert plain.execute("SELECT event_id FROM outbox").fetchone() == (event_id,)
    engine.dispose()


async def test_a_unit_of_work_emits_and_schedules(work: Work) -> None:
    async with work.begin() as unit:
        await unit.emit(OrderPlaced(1))
    assert len(await published(work.engine)) == 1


async def test_a_handler_gives_each_event_its_effect_once(work: Work) -> None:
    events = Source("shop").envelopes(*[OrderPlaced(number) for number in range(5)])
    assert await deliver(work, "kitchen", HANDLERS, *duplicated(events)) == []
    assert await count(work.engine, Meal) == 5


async def test_events_in_any_order_take_effect_in_theirs(work: Work) -> None:
    seen: list[int] = []

    async def note(_unit: UnitOfWork, event: Envelope) -> None:
        seen.append(event.sequence)

    events = Source("shop").envelopes(*[OrderPlaced(1) for _ in range(8)])
    await deliver(work, "kitchen", {"order.placed": note}, *reordered(events), one_by_one=True)
    assert seen == list(range(1, 9))


async def test_a_failing_event_is_parked_and_the_others_flow(work: Work) -> None:
    events = Source("shop").envelopes(OrderPlaced(1, "poison"), OrderPlaced(2), OrderPlaced(3))
    [parked] = await deliver(work, "kitchen", HANDLERS, *events)
    assert parked.stream.aggregate_id == "1"
    assert await count(work.engine, Meal) == 2


async def test_a_job_is_called_and_its_answer_committed(work: Work) -> None:
    async def call(job: jobs.Job) -> jobs.Result:
        async def result(unit: UnitOfWork) -> None:
            await unit.emit(OrderPlaced(job.payload["order"]))

        return result

    async with work.begin() as unit:
        await jobs.enqueue(unit, "mail", key="1", payload={"order": 1})
    assert await jobs.JobWorker(work, {"mail": call}).run_due() == 1
    assert [event.stream.aggregate_id for event in await published(work.engine)] == ["1"]


async def test_an_order_goes_through_the_broker_to_its_handler(shop_url: str, work: Work) -> None:
    name, broker = f"shop-{uuid4().hex[:8]}", os.environ["TEST_RABBITMQ_URL"]
    topology = Topology([name], [Subscription(name, name, "shop", ("order",))])
    parts: list[BackgroundService] = [
        Relay(database_url=shop_url, broker_url=broker, exchange=name, topology=topology),
        Consumer(queue=name, handlers=HANDLERS, work=work, broker_url=broker, topology=topology),
    ]
    stop = asyncio.Event()
    tasks = [asyncio.create_task(part.run(stop)) for part in parts]
    await place_order(work.engine, *["soup"] * 50)

    async def all_cooked() -> bool:
        return await count(work.engine, Meal) == 50

    await until(all_cooked)
    stop.set()
    await asyncio.gather(*tasks)
    async with await aio_pika.connect(broker) as connection:
        channel = await connection.channel()
        for queue in (name, f"{name}.dead"):
            await channel.queue_delete(queue)
        await channel.exchange_delete(name)


@pytest.mark.parametrize(
    "command", ["--help", "--version", "status", "schema --check", "parked list"]
)
def test_the_command_runs(shop_url: str, command: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "outbox.cli", *command.split()],
        env={"DATABASE_URL": shop_url, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout
    assert "Traceback" not in ran.stderr
