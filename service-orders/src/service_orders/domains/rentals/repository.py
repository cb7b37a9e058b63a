"""The statements of rentals; each is built here and run in the caller's transaction.

Whoever reads or changes a rental says its day too, so that one partition is touched.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, Uuid, any_, bindparam, delete, literal, select, text, update
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql import Select

from outbox import Event, UnitOfWork, Work
from service_orders.domains.rentals.models import (
    HistoryEntry,
    Rental,
    open_rentals,
    rentals,
    started_at,
    user_summary,
)
from service_orders.domains.rentals.offers import Offer
from service_orders.domains.rentals.states import PaymentStatus, RentalStatus
from servicekit.http.pagination import Keyset, PageRequest

NEWEST_FIRST = Keyset(rentals.c.started_at, rentals.c.id)
CLOCKS_APART = timedelta(days=1)

_RENTAL = select(*(rentals.c[field] for field in Rental.__slots__))

# The offer first: of two that start with one token only one goes on to the scooter.
_CLAIM = text("""
WITH used AS (
  INSERT INTO used_offers (offer_id, expires_at) VALUES (:offer_id, :expires_at)
  ON CONFLICT DO NOTHING RETURNING offer_id
), opened AS (
  INSERT INTO open_rentals (scooter_id, rental_id) SELECT :scooter_id, :rental_id FROM used
  ON CONFLICT DO NOTHING RETURNING scooter_id
)
SELECT EXISTS (SELECT FROM used) AS offer, EXISTS (SELECT FROM opened) AS scooter
""").bindparams(bindparam("offer_id", type_=Uuid), bindparam("rental_id", type_=Uuid))

_STARTED = """
started AS (
  INSERT INTO rentals (id, started_at, offer_id, user_id, scooter_id, zone_id, price_per_minute,
                       price_unlock, deposit, free_ride_seconds, status, payment_status, history)
  VALUES (%(id)s, %(started_at)s, %(offer_id)s, %(user_id)s, %(scooter_id)s, %(zone_id)s,
          %(price_per_minute)s, %(price_unlock)s, %(deposit)s, %(free_ride_seconds)s, %(status)s,
          %(payment_status)s, %(history)s::jsonb)
)"""


async def claim(connection: AsyncConnection, rental_id: UUID, offer: Offer) -> tuple[bool, bool]:
    """Take the offer and the scooter for a rental; whether each was free.

    Waits for whoever is about to take the same. Unless both were free, roll back.
    """
    wanted = {
        "offer_id": offer.id,
        "expires_at": offer.expires_at,
        "scooter_id": offer.scooter_id,
        "rental_id": rental_id,
    }
    row = (await connection.execute(_CLAIM, wanted)).one()
    return bool(row.offer), bool(row.scooter)


async def start(unit: UnitOfWork, rental: Rental, event: Event) -> None:
    """Insert a new rental with the first entry of its history, and emit its event."""
    entry = HistoryEntry(rental.status.value, rental.started_at, None, None)
    row = {field: getattr(rental, field) for field in Rental.__slots__}
    row |= {"status": rental.status.value, "payment_status": rental.payment_status.value}
    await unit.write(_STARTED, {**row, "history": json.dumps([_as_json(entry)])}, event)


async def find_all(work: Work, rental_ids: Sequence[UUID]) -> dict[UUID, Rental]:
    """These rentals as they are now, as far as they exist; in one round trip.

    The times of the ids narrow it down to the partitions that may have them.
    """
    latest = datetime.now(UTC) + CLOCKS_APART
    times = {id_: at for id_ in rental_ids if (at := started_at(id_)) and at < latest}
    if not times:
        return {}
    wanted = {"ids": list(times), "first": min(times.values()), "last": max(times.values())}
    async with work.read() as connection:
        rows = await connection.execute(SOME, wanted)
        return {row.id: _rental(row) for row in rows}


SOME = _RENTAL.where(
    rentals.c.started_at.between(bindparam("first"), bindparam("last")),
    rentals.c.id == any_(bindparam("ids", type_=ARRAY(Uuid))),
)
"""Rentals by their ids (`ids`), which were started from `first` to `last`."""


async def find(connection: AsyncConnection, rental_id: UUID) -> Rental | None:
    """A rental as it is now."""
    return await _one(connection, _RENTAL, rental_id)


async def locked(connection: AsyncConnection, rental_id: UUID) -> Rental | None:
    """A rental that nobody else changes until this transaction ends."""
    return await _one(connection, _RENTAL.with_for_update(), rental_id)


def newest(*, user_id: str | None, status: RentalStatus | None) -> Select[Any]:
    """Rentals, narrowed down; served by one of the indexes rentals_by_…."""
    found = _RENTAL
    if user_id is not None:
        found = found.where(rentals.c.user_id == user_id)
    if status is not None:
        found = found.where(rentals.c.status == status.value)
    return found


async def page_of(
    connection: AsyncConnection, found: Select[Any], page: PageRequest
) -> list[Rental]:
    """The rentals of a page, and one more if there is a next."""
    return [_rental(row) for row in await connection.execute(NEWEST_FIRST.select(found, page))]


async def history_of(connection: AsyncConnection, rental_id: UUID) -> list[HistoryEntry] | None:
    """Every status a rental has had, oldest first; None if there is no such rental."""
    found = select(rentals.c.history).where(*_is(rental_id))
    entries = (await connection.execute(found)).scalar_one_or_none()
    return None if entries is None else [_entry(entry) for entry in entries]


async def change(
    connection: AsyncConnection,
    rental: Rental,
    entry: HistoryEntry,
    values: Mapping[str, object],
) -> None:
    """Change a rental that is locked, and append to its history."""
    noted = literal([_as_json(entry)], JSONB)
    await connection.execute(
        update(rentals)
        .where(rentals.c.id == rental.id, rentals.c.started_at == rental.started_at)
        .values(**values, history=rentals.c.history.op("||")(noted))
    )


async def free_scooter(connection: AsyncConnection, rental: Rental) -> None:
    """Let others ride it."""
    await connection.execute(
        delete(open_rentals).where(
            open_rentals.c.scooter_id == rental.scooter_id, open_rentals.c.rental_id == rental.id
        )
    )


async def debt_of(connection: AsyncConnection, user_id: str) -> int:
    """What a user owes us."""
    found = select(user_summary.c.debt).where(user_summary.c.user_id == user_id)
    return (await connection.execute(found)).scalar_one_or_none() or 0


async def summarise(
    connection: AsyncConnection, user_id: str, payment: PaymentStatus, *, rides: int, debt: int
) -> None:
    """Add to what is known of a user."""
    row = insert(user_summary).values(
        user_id=user_id, rides_count=rides, debt=debt, last_payment_status=payment.value
    )
    added = {
        "rides_count": user_summary.c.rides_count + rides,
        "debt": user_summary.c.debt + debt,
        "last_payment_status": payment.value,
    }
    await connection.execute(row.on_conflict_do_update(index_elements=["user_id"], set_=added))


async def _one(connection: AsyncConnection, found: Select[Any], rental_id: UUID) -> Rental | None:
    if started_at(rental_id) is None:
        return None
    row = (await connection.execute(found.where(*_is(rental_id)))).one_or_none()
    return None if row is None else _rental(row)


def _is(rental_id: UUID) -> tuple[Any, Any]:
    return rentals.c.id == rental_id, rentals.c.started_at == started_at(rental_id)


def _rental(row: Any) -> Rental:
    status, payment = RentalStatus(row.status), PaymentStatus(row.payment_status)
    return Rental(**{**row._mapping, "status": status, "payment_status": payment})


def _as_json(entry: HistoryEntry) -> dict[str, str | None]:
    return {
        "status": entry.status,
        "at": entry.at.isoformat(),
        "reason": entry.reason,
        "caused_by": str(entry.caused_by) if entry.caused_by else None,
    }


def _entry(stored: Mapping[str, Any]) -> HistoryEntry:
    cause = stored["caused_by"]
    return HistoryEntry(
        stored["status"],
        datetime.fromisoformat(stored["at"]),
        stored["reason"],
        UUID(cause) if cause else None,
    )
