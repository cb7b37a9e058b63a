"""One small transaction, an insert and an update, without an event and with one, in three ways."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import uuid4

import psycopg
from sqlalchemy import column, insert, table, update

from bench.environment import SOURCE, Environment
from bench.events import OrderCreated
from outbox import Outbox, open_work

USERS = 1_000
# Every order is an aggregate of its own, as new orders are.
AGGREGATES = 10_000_000

_ORDERS = table("orders", *map(column, ("id", "user_id", "amount", "status")))
_USERS = table("users", column("id"), column("orders"))
_INSERT = """
INSERT INTO orders (id, user_id, amount, status)
VALUES (%(id)s, %(user_id)s, %(amount)s, %(status)s)"""
_UPDATE = "UPDATE users SET orders = orders + 1 WHERE id = %(user)s"
_BOTH = f"placed AS ({_INSERT}), counted AS ({_UPDATE})"

Transaction = Callable[[int], Awaitable[None]]


@dataclass(frozen=True)
class Pair:
    """The same transaction twice; each call commits once."""

    without: Transaction
    with_event: Transaction


Kind = Callable[[Environment], AbstractAsyncContextManager[Pair]]


def _row(number: int) -> dict[str, Any]:
    return {
        "id": uuid4(),
        "user_id": f"user_{number % USERS + 1}",
        "amount": Decimal("140.00"),
        "status": "CREATED",
    }


@asynccontextmanager
async def over_sqlalchemy(environment: Environment) -> AsyncIterator[Pair]:
    """`engine.begin()`, two statements, and `outbox.add`."""
    engine, outbox = environment.engine(), Outbox(SOURCE)

    async def run(number: int, *, event: bool) -> None:
        async with engine.begin() as connection:
            await connection.execute(insert(_ORDERS).values(_row(number)))
            await connection.execute(
                update(_USERS)
                .where(_USERS.c.id == number % USERS + 1)
                .values(orders=_USERS.c.orders + 1)
            )
            if event:
                await outbox.add(connection, OrderCreated(number, AGGREGATES))

    yield Pair(lambda n: run(n, event=False), lambda n: run(n, event=True))
    await engine.dispose()


@asynccontextmanager
async def over_psycopg(environment: Environment) -> AsyncIterator[Pair]:
    """A plain connection, two statements, and the statement of `outbox.rows`."""
    outbox = Outbox(SOURCE)
    async with await psycopg.AsyncConnection.connect(
        environment.database_url, autocommit=True
    ) as connection:

        async def run(number: int, *, event: bool) -> None:
            async with connection.transaction():
                await connection.execute(_INSERT, _row(number))
                await connection.execute(_UPDATE, {"user": number % USERS + 1})
                if event:
                    tail, parameters = outbox.rows(OrderCreated(number, AGGREGATES))
                    await connection.execute(f"WITH {tail} SELECT 1".encode(), parameters)

        yield Pair(lambda n: run(n, event=False), lambda n: run(n, event=True))


@asynccontextmanager
async def single_statement(environment: Environment) -> AsyncIterator[Pair]:
    """`unit.write`: one statement and one round trip, doorbell included."""
    engine = environment.engine()
    autocommit = engine.execution_options(isolation_level="AUTOCOMMIT")
    async with open_work(engine, environment.database_url, Outbox(SOURCE)) as work:

        async def without(number: int) -> None:
            async with autocommit.connect() as connection:
                await connection.exec_driver_sql(f"WITH {_BOTH} SELECT 1", _given(number))

        async def with_event(number: int) -> None:
            async with work.begin() as unit:
                await unit.write(_BOTH, _given(number), OrderCreated(number, AGGREGATES))

        yield Pair(without, with_event)


def _given(number: int) -> dict[str, Any]:
    return {**_row(number), "user": number % USERS + 1}
