"""Allocates a table to a party, and releases it.

Everything happens in the caller's transaction, and `lock` comes first. A statement's snapshot is
older than a lock acquired inside it: a statement that locks and chooses at once would reject
parties although tables are free (PostgreSQL, "Read Committed Isolation Level").
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import ColumnElement, Select, delete, exists, func, insert, literal, select
from sqlalchemy.dialects.postgresql import TSTZRANGE, Range, distinct_on
from sqlalchemy.ext.asyncio import AsyncConnection

from service_processor.seating.models import allocations, releases, restaurants, tables

Period = Range[datetime]


@dataclass(frozen=True, slots=True)
class Party:
    """A number of guests who want to sit in a restaurant for a period."""

    booking_id: int
    restaurant_id: int
    period: Period
    guests_count: int


@dataclass(frozen=True, slots=True)
class Obstacle:
    """A table that is big enough, and the allocation that keeps it in the period."""

    table_id: int
    seats: int
    allocation_id: int
    begin: datetime
    end: datetime


def half_open(begin: datetime, end: datetime) -> Period:
    """The period includes `begin` and excludes `end`: the next party may come at `end`."""
    return Range(begin, end, bounds="[)")


async def lock(connection: AsyncConnection, restaurant_id: int) -> None:
    """Lock a restaurant against other allocations, releases and deletions until the commit."""
    await connection.execute(
        select(restaurants.c.id)
        .where(restaurants.c.id == restaurant_id)
        .with_for_update(key_share=True)
    )


async def allocate(connection: AsyncConnection, party: Party, at: datetime) -> int | None:
    """Allocate the smallest free table that fits, and return its id; None if there is none."""
    chosen = (
        _fitting(party)
        .where(~exists().where(allocations.c.table_id == tables.c.id, _meets(party.period)))
        .order_by(tables.c.seats, tables.c.id)
        .limit(1)
        .with_only_columns(
            tables.c.id, _range(party.period), literal(party.booking_id), literal(at)
        )
    )
    allocation = insert(allocations).from_select(
        ["table_id", "period", "booking_id", "created_at"], chosen
    )
    found = await connection.execute(allocation.returning(allocations.c.table_id))
    table_id: int | None = found.scalar_one_or_none()
    return table_id


async def obstacles(connection: AsyncConnection, party: Party) -> list[Obstacle]:
    """One conflicting allocation for each table that fits; empty if no table is big enough."""
    found = await connection.execute(
        _fitting(party)
        .join(allocations, allocations.c.table_id == tables.c.id)
        .where(_meets(party.period))
        .ext(distinct_on(tables.c.id))
        .order_by(tables.c.id, func.lower(allocations.c.period))
        .with_only_columns(tables.c.id, tables.c.seats, allocations.c.id, allocations.c.period)
    )
    return [
        Obstacle(row[0], row[1], row[2], row[3].lower.astimezone(UTC), row[3].upper.astimezone(UTC))
        for row in found
    ]


async def release(connection: AsyncConnection, booking_id: int, at: datetime) -> int | None:
    """Release the table of a booking and return its id; None if the booking holds none."""
    gone = (
        delete(allocations)
        .where(allocations.c.booking_id == booking_id)
        .returning(
            allocations.c.id, allocations.c.table_id, allocations.c.period, allocations.c.booking_id
        )
        .cte("gone")
    )
    kept = insert(releases).from_select(
        ["allocation_id", "table_id", "period", "booking_id", "released_at"],
        select(gone, literal(at)),
    )
    found = await connection.execute(kept.returning(releases.c.table_id))
    table_id: int | None = found.scalar_one_or_none()
    return table_id


def _fitting(party: Party) -> Select[tuple[int]]:
    return select(tables.c.id).where(
        tables.c.restaurant_id == party.restaurant_id,
        tables.c.deleted_at.is_(None),
        tables.c.seats >= party.guests_count,
    )


def _range(period: Period) -> ColumnElement[Period]:
    return literal(period, TSTZRANGE())


def _meets(period: Period) -> ColumnElement[bool]:
    meets: ColumnElement[bool] = allocations.c.period.overlaps(_range(period))
    return meets
