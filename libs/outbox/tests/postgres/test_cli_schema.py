"""`outbox schema`: versions, and statements that run as they are printed."""

from __future__ import annotations

import psycopg
import pytest
from sqlalchemy import Column, MetaData, Text

import outbox
from kit.outbox.operator import Said, say
from kit.outbox.world import World
from outbox.inbox.tables import declare_inbox
from outbox.postgres.table_details import comment
from outbox.postgres.table_groups import TableGroup
from outbox.schema import GROUPS


async def ask(url: str, *words: str, status: int = 0) -> Said:
    return await say({"DATABASE_URL": url}, *words, status=status)


def run(url: str, script: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(script.encode())


async def test_the_sql_for_an_empty_database_creates_all_tables(database_url: str) -> None:
    said = await ask(database_url, "schema", "--check", "--json", status=1)
    assert [group["found"] for group in said.json["groups"]] == [None, None, None]
    run(database_url, ";\n".join(said.json["statements"]))
    said = await ask(database_url, "schema", "--check", "--json")
    assert said.json["statements"] == []
    assert {group["group"]: group["found"] for group in said.json["groups"]} == {
        "outbox": 1,
        "inbox": 1,
        "jobs": 1,
    }


async def test_psql_accepts_the_printed_sql(database_url: str) -> None:
    said = await ask(database_url, "schema", "--group", "inbox", status=0)
    _, _, script = said.out.partition("\nCREATE TABLE")
    run(database_url, f"CREATE TABLE{script}")
    await ask(database_url, "schema", "--group", "inbox", "--check")


async def test_only_existing_groups_are_compared_unless_named(database_url: str) -> None:
    said = await ask(database_url, "schema", "--group", "jobs", "--json")
    run(database_url, ";\n".join(said.json["statements"]))
    await ask(database_url, "schema", "--check")
    said = await ask(database_url, "schema", "--check", "--group", "inbox", status=1)
    assert "outbox.schema.create_inbox(op)" in said.out
    await ask(database_url, "schema", "--group", "wrong", status=2)


async def test_the_sql_restores_a_missing_table_and_a_lost_comment(world: World) -> None:
    await world.execute("DROP TABLE inbox_attempts")
    await world.execute("COMMENT ON TABLE outbox IS NULL")
    said = await ask(world.database_url, "schema", "--check", "--json", status=1)
    run(world.database_url, ";\n".join(said.json["statements"]))
    await ask(world.database_url, "schema", "--check")


def declare_later(metadata: MetaData) -> None:
    declare_inbox(metadata)
    metadata.tables["inbox"].append_column(Column("note", Text))
    metadata.tables["inbox"].comment = comment(2)


async def test_the_printed_sql_upgrades_an_older_version_and_the_doctor_names_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = (("ALTER TABLE {schema}inbox ADD COLUMN IF NOT EXISTS note text",),)
    monkeypatch.setitem(GROUPS, "inbox", TableGroup("inbox", "inbox", declare_later, steps))
    said = await ask(world.database_url, "doctor", "--json", status=1)
    tables = [found for found in said.json["findings"] if found["check"] == "tables"]
    assert "the inbox tables have version 1, this code wants 2" in tables[0]["says"]
    assert "outbox schema" in tables[0]["fix"]
    said = await ask(world.database_url, "schema", "--check", "--json", status=1)
    run(world.database_url, ";\n".join(said.json["statements"]))
    await ask(world.database_url, "schema", "--check")


async def test_the_command_prints_its_version() -> None:
    assert outbox.__version__ in (await say({}, "--version")).out
