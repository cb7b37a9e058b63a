"""Pages by keyset: no row twice and none left out, whatever is inserted between two pages."""

from __future__ import annotations

import asyncio
import base64
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from pydantic import BaseModel
from sqlalchemy import BigInteger, Column, DateTime, Identity, MetaData, Table, Text, Uuid, insert
from sqlalchemy import select as select_
from sqlalchemy.ext.asyncio import AsyncEngine

from servicekit.database.engine import create_engine
from servicekit.http.app import create_app
from servicekit.http.fields import Timestamp
from servicekit.http.pagination import Keyset, Page, PageQuery
from servicekit.http.routing import Router
from servicekit.process.urls import PostgresUrl

METADATA = MetaData()
notes = Table(
    "notes",
    METADATA,
    Column("id", Uuid, primary_key=True),
    Column("created_at", DateTime(True), nullable=False),
)
cities = Table("cities", METADATA, Column("id", BigInteger, Identity(), primary_key=True))
words = Table("words", METADATA, Column("word", Text, primary_key=True))

NEWEST = Keyset(notes.c.created_at, notes.c.id)
CITIES = Keyset(cities.c.id)
BEGAN = datetime(2026, 5, 1, tzinfo=UTC)


class NoteView(BaseModel):
    id: UUID
    created_at: Timestamp

    @classmethod
    def of(cls, row: Any) -> NoteView:
        return cls(id=row.id, created_at=row.created_at)


class CityView(BaseModel):
    id: int


def note_router(engine: AsyncEngine) -> Router:
    router = Router()

    @router.get("/notes", summary="Notes")
    async def list_notes(page: PageQuery) -> Page[NoteView]:
        async with engine.connect() as connection:
            rows = (await connection.execute(NEWEST.select(select_(notes), page))).all()
        return NEWEST.page(rows, page, NoteView.of)

    @router.get("/cities", summary="Cities")
    async def list_cities(page: PageQuery) -> Page[CityView]:
        async with engine.connect() as connection:
            rows = (await connection.execute(CITIES.select(select_(cities), page))).all()
        return CITIES.page(rows, page, lambda row: CityView(id=row.id))

    return router


@pytest.fixture
async def engine(database: PostgresUrl) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(database, application_name="test")
    async with engine.begin() as connection:
        await connection.run_sync(METADATA.create_all)
    yield engine
    await engine.dispose()


@pytest.fixture
async def http(engine: AsyncEngine) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(title="notes", version="1", description="", routers=[note_router(engine)])
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://notes/api/v1") as client:
        yield client


async def add_notes(engine: AsyncEngine, count: int, seed: int = 0) -> list[UUID]:
    """Notes of a few moments only, so that many are told apart by their id alone."""
    chance = random.Random(seed)
    rows = [
        {"id": uuid4(), "created_at": BEGAN + timedelta(microseconds=chance.randrange(5))}
        for _ in range(count)
    ]
    async with engine.begin() as connection:
        await connection.execute(insert(notes), rows)
    return [row["id"] for row in rows]  # type: ignore[misc]


async def pages_of(
    http: httpx.AsyncClient, path: str, limit: int
) -> AsyncIterator[list[dict[str, Any]]]:
    cursor = None
    while True:
        parameters = {"limit": str(limit)} | ({"cursor": cursor} if cursor else {})
        answer = await http.get(path, params=parameters)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        assert set(page) == {"items", "next_cursor"}
        yield page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            return


async def test_an_empty_list_is_one_empty_page(http: httpx.AsyncClient) -> None:
    assert (await http.get("/notes")).json() == {"items": [], "next_cursor": None}


@pytest.mark.parametrize("limit", [1, 7, 10, 100])
async def test_the_pages_together_are_the_list_newest_first(
    http: httpx.AsyncClient, engine: AsyncEngine, limit: int
) -> None:
    ids = await add_notes(engine, 40)
    seen = [item async for page in pages_of(http, "/notes", limit) for item in page]
    assert sorted(item["id"] for item in seen) == sorted(map(str, ids))
    assert seen == sorted(seen, key=lambda item: (item["created_at"], item["id"]), reverse=True)


async def test_a_list_may_be_ordered_by_its_id_alone(
    http: httpx.AsyncClient, engine: AsyncEngine
) -> None:
    async with engine.begin() as connection:
        for _ in range(5):
            await connection.execute(insert(cities).values())
    found = [[item["id"] for item in page] async for page in pages_of(http, "/cities", 2)]
    assert found == [[5, 4], [3, 2], [1]]


async def test_a_page_that_is_exactly_full_is_the_last(
    http: httpx.AsyncClient, engine: AsyncEngine
) -> None:
    await add_notes(engine, 50)
    page = (await http.get("/notes")).json()
    assert (len(page["items"]), page["next_cursor"]) == (50, None)
    await add_notes(engine, 1)
    page = (await http.get("/notes")).json()
    assert len(page["items"]) == 50
    assert page["next_cursor"] is not None


async def test_existing_rows_come_once_while_others_are_inserted(
    http: httpx.AsyncClient, engine: AsyncEngine
) -> None:
    before = {str(id_) for id_ in await add_notes(engine, 200)}

    async def insert_more(seed: int) -> None:
        for step in range(50):
            await add_notes(engine, 3, seed + step)

    for limit in (3, 10, 25):
        async with asyncio.TaskGroup() as group:
            for writer in range(3):
                group.create_task(insert_more(seed=1000 * writer + limit))
            seen = [i["id"] async for page in pages_of(http, "/notes", limit) for i in page]
        assert len(seen) == len(set(seen))
        assert before <= set(seen)


def _cursor(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "x",
        "é",
        "a b",
        "====",
        "A" * 513,
        _cursor("null"),
        _cursor("[]"),
        _cursor("[1]"),
        _cursor('[1,"2026-05-01T00:00:00Z"]'),
        _cursor('[1,"2026-05-01T00:00:00Z","no id"]'),
        _cursor('[1,"0001-01-01T00:00:00+14:00","01890000-0000-7000-8000-000000000001"]'),
        _cursor('[1,"then","01890000-0000-7000-8000-000000000001"]'),
        _cursor('[2,"2026-05-01T00:00:00Z","01890000-0000-7000-8000-000000000001"]'),
        _cursor("[" * 300),
        _cursor('[true,"2026-05-01T00:00:00.000000Z","01890000-0000-7000-8000-000000000001"]'),
        _cursor('[1.0,"2026-05-01T00:00:00.000000Z","01890000-0000-7000-8000-000000000001"]'),
        _cursor('[1,"2026-05-01T00:00:00Z","01890000-0000-7000-8000-000000000001"]'),
        _cursor('[1, "2026-05-01T00:00:00.000000Z","01890000-0000-7000-8000-000000000001"]'),
    ],
)
async def test_garbage_is_not_a_cursor(http: httpx.AsyncClient, cursor: str) -> None:
    answer = await http.get("/notes", params={"cursor": cursor})
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")
    assert [error["field"] for error in answer.json()["errors"]] == ["cursor"]


@pytest.mark.parametrize("number", ["9223372036854775808", "1.5", "true", '"x"', "null"])
async def test_a_cursor_holds_only_what_the_column_can(
    http: httpx.AsyncClient, number: str
) -> None:
    answer = await http.get("/cities", params={"cursor": _cursor(f"[1,{number}]")})
    assert answer.status_code == 422


@pytest.mark.parametrize(
    "limit", ["0", "101", "-1", "many", "", "1e2", "9" * 30, "1_0", " 10", "+1", "010"]
)
async def test_a_limit_is_from_1_to_100(http: httpx.AsyncClient, limit: str) -> None:
    answer = await http.get("/notes", params={"limit": limit})
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == ["limit"]


async def test_a_later_page_is_a_range_of_the_index(
    http: httpx.AsyncClient, engine: AsyncEngine
) -> None:
    await add_notes(engine, 2)
    cursor = (await http.get("/notes", params={"limit": 1})).json()["next_cursor"]
    async with engine.begin() as connection:
        await connection.exec_driver_sql("CREATE INDEX ON notes (created_at, id)")
        await connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        place = NEWEST._read(cursor)
        rows = await connection.exec_driver_sql(
            "EXPLAIN SELECT * FROM notes WHERE (created_at, id) < (%s, %s)"
            " ORDER BY created_at DESC, id DESC LIMIT 2",
            place,
        )
        plan = "\n".join(rows.scalars())
    assert "Index Cond: (ROW(created_at, id) < ROW(" in plan
    assert "Sort" not in plan


def test_a_keyset_of_another_type_is_a_mistake_found_at_import() -> None:
    with pytest.raises(TypeError, match="time, UUID or integer"):
        Keyset(words.c.word)


async def test_both_parameters_and_the_page_are_documented(http: httpx.AsyncClient) -> None:
    document = (await http.get("http://notes/openapi.json")).json()
    operation = document["paths"]["/api/v1/notes"]["get"]
    assert [one["name"] for one in operation["parameters"]] == ["limit", "cursor"]
    assert "422" in operation["responses"]
    assert set(document["components"]["schemas"]["Page_NoteView_"]["required"]) == {
        "items",
        "next_cursor",
    }
