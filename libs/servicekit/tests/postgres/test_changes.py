"""A change of status: locked, checked, noted in the history, announced."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import PrimaryKeyConstraint

from outbox import Envelope, Maintenance, Work, open_work, schema, testing
from outbox.event import Stream
from outbox.postgres.day_partitions import OUTBOX
from servicekit.database.engine import create_engine
from servicekit.database.tables import table_of
from servicekit.http.pagination import PageRequest
from servicekit.process.urls import PostgresUrl
from servicekit.service.batched_changes import BatchedChanges, Step
from servicekit.service.changes import RowsWithHistory
from servicekit.service.history import History, HistoryEntry
from servicekit.service.lifecycle import IllegalTransition, Lifecycle
from servicekit.service.metadata import declare_service
from servicekit.service.rows import NotFound, Readers, Rows

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


class Status(StrEnum):
    CREATED = "CREATED"
    ROUTED = "ROUTED"
    CANCELLED = "CANCELLED"


@dataclass(frozen=True, slots=True)
class Parcel:
    id: int
    status: Status
    reason: str | None
    carrier: str | None
    created_at: datetime
    updated_at: datetime


class ParcelNotFound(NotFound):
    noun = "parcel"


@dataclass(frozen=True)
class ParcelCreated:
    aggregate_id: int
    type: str = "parcel.created"
    version: int = 1
    aggregate_type: str = "parcel"

    def payload(self) -> bytes:
        return b"{}"


metadata, outbox = declare_service("shop")
parcels = table_of(Parcel, "parcels", metadata, PrimaryKeyConstraint("id"))
history = History("parcel", parcels)
ROWS = Rows[int, Parcel](parcels, Parcel, ParcelNotFound)
PARCELS = RowsWithHistory(ROWS, history)
LIFECYCLE = Lifecycle(
    "parcel",
    {
        Status.CREATED: {Status.ROUTED, Status.CANCELLED},
        Status.ROUTED: set(),
        Status.CANCELLED: set(),
    },
)
STREAM = Stream("other", "parcel", "1")
CHANGES = BatchedChanges(PARCELS, LIFECYCLE, "parcels_settled")


@pytest.fixture
async def work(database: PostgresUrl) -> AsyncIterator[Work]:
    """Units of work on a database with three parcels."""
    engine = create_engine(database, application_name="test")
    async with open_work(engine, database, outbox) as work:
        async with engine.begin() as connection:
            await connection.run_sync(
                lambda sync: metadata.create_all(sync, tables=[parcels, history.table])
            )
            await connection.run_sync(schema.create_outbox)
            new = [Parcel(id_, Status.CREATED, None, None, NOW, NOW) for id_ in (1, 2, 3)]
            await ROWS.add_all(connection, new)
        assert await Maintenance(engine, OUTBOX).prepare()
        yield work


async def entries(work: Work, id_: int) -> list[HistoryEntry]:
    async with work.read() as connection:
        return await history.of(connection, id_)


async def test_a_new_thing_its_history_and_its_event_are_one_statement(work: Work) -> None:
    new = Parcel(4, Status.CREATED, None, None, NOW, NOW)
    async with work.begin() as unit:
        await PARCELS.create(unit, new, ParcelCreated(4))
    assert await entries(work, 4) == [HistoryEntry("CREATED", NOW)]
    assert [event.type for event in await testing.emitted(work)] == ["parcel.created"]
    async with work.read() as connection:
        assert await ROWS.get(connection, 4) == new


async def test_a_move_changes_the_row_and_adds_to_the_history(work: Work) -> None:
    async with work.begin() as unit:
        moved = await CHANGES.move(unit, 1, Status.CANCELLED)
    assert (moved.status, moved.updated_at > NOW) == (Status.CANCELLED, True)
    assert [entry.status for entry in await entries(work, 1)] == ["CANCELLED"]


async def test_an_illegal_move_is_refused_and_leaves_no_trace(work: Work) -> None:
    async with work.begin() as unit:
        await CHANGES.move(unit, 1, Status.CANCELLED)
    with pytest.raises(IllegalTransition):
        async with work.begin() as unit:
            await CHANGES.move(unit, 1, Status.ROUTED)
    assert [entry.status for entry in await entries(work, 1)] == ["CANCELLED"]


async def test_an_event_moves_a_thing_and_sets_its_values(work: Work) -> None:
    async with work.begin() as unit:
        moved = await CHANGES.follow(unit, 1, Status.ROUTED, reason="light", carrier="letter")
    assert moved is not None
    assert (moved.status, moved.reason, moved.carrier) == (Status.ROUTED, "light", "letter")


async def test_an_event_that_comes_too_late_is_a_line_in_the_history(work: Work) -> None:
    async with work.begin() as unit:
        cancelled = await CHANGES.move(unit, 1, Status.CANCELLED)
        assert await CHANGES.follow(unit, 1, Status.ROUTED, carrier="letter") is None
    async with work.read() as connection:
        assert await ROWS.get(connection, 1) == cancelled
    last = (await entries(work, 1))[-1]
    assert (last.status, last.reason) == (
        "CANCELLED",
        "ignored ROUTED: the parcel was CANCELLED already",
    )


def moves(count: int) -> list[Envelope]:
    return [
        Envelope(uuid4(), STREAM, number, "parcel.moved", 1, NOW, b"{}", "correlation")
        for number in range(1, count + 1)
    ]


async def test_events_of_a_batch_move_their_things_in_order(work: Work) -> None:
    causes = moves(3)
    steps = [
        Step(3, Status.ROUTED, values={"carrier": "ship"}),
        Step(1, Status.ROUTED, values={"carrier": "letter"}),
        Step(3, Status.CANCELLED, values={"carrier": "nobody"}),
    ]
    async with work.begin() as unit:
        await CHANGES.follow_all(unit, causes, steps)
    async with work.read() as connection:
        found = [await ROWS.get(connection, id_) for id_ in (1, 2, 3)]
    assert [(one.status.value, one.carrier) for one in found] == [
        ("ROUTED", "letter"),
        ("CREATED", None),
        ("ROUTED", "ship"),
    ]
    assert [(one.status, one.reason, one.caused_by) for one in await entries(work, 3)] == [
        ("ROUTED", None, causes[0].id),
        ("ROUTED", "ignored CANCELLED: the parcel was ROUTED already", causes[2].id),
    ]


async def test_a_batch_with_an_unknown_thing_moves_nothing(work: Work) -> None:
    steps = [Step(id_, Status.ROUTED) for id_ in (1, 9)]
    with pytest.raises(ParcelNotFound, match="There is no parcel 9"):
        async with work.begin() as unit:
            await CHANGES.follow_all(unit, moves(2), steps)
    assert await entries(work, 1) == []


async def test_a_settled_thing_is_announced_after_the_commit(
    work: Work, database: PostgresUrl
) -> None:
    connection = await psycopg.AsyncConnection.connect(database, autocommit=True)
    async with connection:
        await connection.execute("LISTEN parcels_settled")
        async with work.begin() as unit:
            await CHANGES.move(unit, 2, Status.CANCELLED)
        heard = [one.payload async for one in connection.notifies(timeout=5, stop_after=1)]
    assert heard == ['["parcel/2"]']


async def test_an_unknown_thing_is_not_found(work: Work) -> None:
    with pytest.raises(ParcelNotFound, match="There is no parcel 9"):
        async with work.begin() as unit:
            await CHANGES.move(unit, 9, Status.CANCELLED)
    with pytest.raises(ParcelNotFound):
        await Readers(work).of(ROWS).get(9)


async def test_a_filter_that_is_none_is_left_out(work: Work) -> None:
    async with work.begin() as unit:
        await CHANGES.move(unit, 2, Status.CANCELLED)
    wanted = (None, Status.CREATED, Status.CANCELLED)
    found = []
    async with work.read() as connection:
        for status in wanted:
            rows = await connection.execute(
                ROWS.newest_first.select(ROWS.filtered(status=status), PageRequest())
            )
            found.append([row.id for row in rows])
    assert found == [[3, 2, 1], [3, 1], [2]]
