"""The statements of rentals.

Each statement about one rental also names its day, so that PostgreSQL touches one partition.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, Uuid, any_, bindparam, delete, literal, select, text, update
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql import Select

from outbox import Event, UnitOfWork, Work
from service_orders.domains.rentals.errors import RentalNotFound
from service_orders.domains.rentals.models import (
    Rental,
    open_rentals,
    rentals,
    started_at,
    user_summary,
)
from service_orders.domains.rentals.offers import Offer
from service_orders.domains.rentals.states import PaymentStatus
from servicekit.http.pagination import Keyset
from servicekit.service.history import HistoryEntry
from servicekit.service.rows import Reader, Rows

ROWS = Rows[UUID, Rental](
    rentals, Rental, RentalNotFound, newest_first=Keyset(rentals.c.started_at, rentals.c.id)
)
CLOCKS_APART = timedelta(days=1)

# An hour later than needed: the process that reads a token may have another clock.
_DELETE_EXPIRED_OFFERS = text("""
DELETE FROM used_offers WHERE offer_id = ANY(ARRAY(
  SELECT offer_id FROM used_offers WHERE expires_at < now() - interval '1 hour'
   ORDER BY expires_at LIMIT :limit FOR UPDATE SKIP LOCKED))
""")

# The offer comes first: of two requests with one token only one goes on to the scooter.
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

_STARTED = f"started AS ({ROWS.insert_with('history')})"  # one round trip with the event


async def claim(connection: AsyncConnection, rental_id: UUID, offer: Offer) -> tuple[bool, bool]:
    """Claim the offer and the scooter for a rental; return whether each was free.

    Waits for a concurrent claim of the same. The caller rolls back unless both were free.
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
    row = {**ROWS.values(rental), "history": json.dumps([_as_json(entry)])}
    await unit.write(_STARTED, row, event)


SOME = ROWS.filtered().where(
    rentals.c.started_at.between(bindparam("first"), bindparam("last")),
    rentals.c.id == any_(bindparam("ids", type_=ARRAY(Uuid))),
)
"""Rentals by their ids (`ids`), which were started from `first` to `last`."""


async def find_all(work: Work, rental_ids: Sequence[UUID]) -> dict[UUID, Rental]:
    """Those of these rentals that exist, in one round trip.

    The times of the ids limit it to the partitions that may have them.
    """
    latest = datetime.now(UTC) + CLOCKS_APART
    times = {id_: at for id_ in rental_ids if (at := started_at(id_)) and at < latest}
    if not times:
        return {}
    wanted = {"ids": list(times), "first": min(times.values()), "last": max(times.values())}
    async with work.read() as connection:
        rows = await connection.execute(SOME, wanted)
        return {row.id: ROWS.read(row) for row in rows}


async def delete_expired_offers(connection: AsyncConnection, limit: int) -> int:
    """Delete rows of expired offers, whose tokens are refused anyway; return how many."""
    return (await connection.execute(_DELETE_EXPIRED_OFFERS, {"limit": limit})).rowcount


def reader(work: Work) -> Reader[UUID, Rental]:
    """A reader of single rentals for the endpoints of one process."""
    return Reader(partial(find_all, work), RentalNotFound)


class RentalStore:
    """Rentals with their histories, for `Changes`."""

    async def lock(self, connection: AsyncConnection, rental_id: UUID) -> Rental:
        rental = await _one(connection, ROWS.filtered().with_for_update(), rental_id)
        if rental is None:
            raise RentalNotFound(rental_id)
        return rental

    async def change(
        self,
        connection: AsyncConnection,
        rental: Rental,
        entry: HistoryEntry,
        values: Mapping[str, Any],
    ) -> Rental:
        noted = literal([_as_json(entry)], JSONB)
        changed = await connection.execute(
            update(rentals)
            .where(rentals.c.id == rental.id, rentals.c.started_at == rental.started_at)
            .values(**values, history=rentals.c.history.op("||")(noted))
            .returning(*ROWS.columns)
        )
        return ROWS.read(changed.one())


async def history_of(connection: AsyncConnection, rental_id: UUID) -> list[HistoryEntry] | None:
    """Every status a rental has had, oldest first; None if there is no such rental."""
    found = select(rentals.c.history).where(*_is(rental_id))
    entries = (await connection.execute(found)).scalar_one_or_none()
    return None if entries is None else [_entry(entry) for entry in entries]


async def free_scooter(connection: AsyncConnection, rental: Rental) -> None:
    """Make the scooter available again."""
    await connection.execute(
        delete(open_rentals).where(
            open_rentals.c.scooter_id == rental.scooter_id, open_rentals.c.rental_id == rental.id
        )
    )


async def debt_of(connection: AsyncConnection, user_id: str) -> int:
    """The debt of a user to us."""
    found = select(user_summary.c.debt).where(user_summary.c.user_id == user_id)
    return (await connection.execute(found)).scalar_one_or_none() or 0


async def summarise(
    connection: AsyncConnection, user_id: str, payment: PaymentStatus, *, rides: int, debt: int
) -> None:
    """Add rides and debt to the summary of a user."""
    row = insert(user_summary).values(
        user_id=user_id, rides_count=rides, debt=debt, last_payment_status=payment.value
    )
    added = {
        "rides_count": user_summary.c.rides_count + rides,
        "debt": user_summary.c.debt + debt,  # see decision 1307
        "last_payment_status": payment.value,
    }
    await connection.execute(row.on_conflict_do_update(index_elements=["user_id"], set_=added))


async def _one(connection: AsyncConnection, found: Select[Any], rental_id: UUID) -> Rental | None:
    if started_at(rental_id) is None:
        return None
    row = (await connection.execute(found.where(*_is(rental_id)))).one_or_none()
    return None if row is None else ROWS.read(row)


def _is(rental_id: UUID) -> tuple[Any, Any]:
    return rentals.c.id == rental_id, rentals.c.started_at == started_at(rental_id)


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
