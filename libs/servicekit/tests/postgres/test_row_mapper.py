"""Rows are added, kept, replaced and read as a dataclass."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

import pytest
from sqlalchemy import MetaData, PrimaryKeyConstraint
from sqlalchemy.dialects.postgresql import JSONB, TSTZRANGE, Range
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


@dataclass(frozen=True, slots=True)
class Visit:
    number: int
    period: Annotated[Range[datetime], TSTZRANGE()]
    notes: Annotated[list[dict[str, str]] | None, JSONB()]


metadata = MetaData()
visits = table_of(Visit, "visits", metadata, PrimaryKeyConstraint("number"))
VISITS = RowMapper(visits, Visit)
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


async def test_listed_rows_with_ranges_and_json_are_read_as_they_were_added(
    connection: AsyncConnection,
) -> None:
    period = Range(datetime(2027, 1, 1, tzinfo=UTC), datetime(2027, 1, 2, tzinfo=UTC))
    rows = [Visit(1, period, [{"by": "Ada", "quote": '"\\{}'}]), Visit(2, period, [])]
    await connection.exec_driver_sql(VISITS.insert_all, VISITS.listed(rows))
    assert await VISITS.fetch(connection, VISITS.all.order_by(visits.c.number)) == rows
