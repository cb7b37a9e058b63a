"""Rows are added, kept, replaced and read as a dataclass."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from enum import StrEnum

import pytest
from sqlalchemy import MetaData, PrimaryKeyConstraint
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from servicekit.database.engine import create_engine
from servicekit.database.tables import RowMapper, table_of
from servicekit.process.urls import PostgresUrl


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True, slots=True)
class Label:
    parcel: str
    number: int
    colour: Colour | None


metadata = MetaData()
labels = table_of(Label, "labels", metadata, PrimaryKeyConstraint("parcel", "number"))
LABELS = RowMapper(labels, Label)
RED, PLAIN = Label("a", 1, Colour.RED), Label("a", 2, None)


@pytest.fixture
async def connection(database: PostgresUrl) -> AsyncIterator[AsyncConnection]:
    """A transaction with two labels."""
    engine = create_engine(database, application_name="test")
    async with engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
        await LABELS.add_all(connection, [RED, PLAIN])
        yield connection
    await engine.dispose()


async def stored(connection: AsyncConnection) -> list[Label]:
    return await LABELS.fetch(connection, LABELS.all.order_by(labels.c.number))


async def test_a_row_is_read_as_it_was_added(connection: AsyncConnection) -> None:
    assert await stored(connection) == [RED, PLAIN]
    one = LABELS.all.where(labels.c.number == 1)
    assert await LABELS.fetch_one(connection, one) == RED
    assert await LABELS.fetch_one(connection, one.where(labels.c.parcel == "b")) is None


async def test_a_row_is_not_added_twice(connection: AsyncConnection) -> None:
    with pytest.raises(IntegrityError):
        async with connection.begin_nested():
            await LABELS.add(connection, RED)
    assert await stored(connection) == [RED, PLAIN]


async def test_put_adds_a_row_or_replaces_its_other_columns(connection: AsyncConnection) -> None:
    blue, third = replace(RED, colour=Colour.BLUE), Label("a", 3, None)
    for label in (blue, third):
        await LABELS.put(connection, label)
    assert await stored(connection) == [blue, PLAIN, third]
