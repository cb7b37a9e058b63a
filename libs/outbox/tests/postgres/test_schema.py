"""The library's tables say their version, and what lacks any says which call mends it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import psycopg
import pytest
from sqlalchemy import Column, Connection, MetaData, Text, create_engine, inspect, text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from kit.outbox.world import World
from outbox import schema
from outbox.inbox.tables import declare_inbox
from outbox.postgres.table_groups import TableGroup
from outbox.schema import GROUPS, SchemaBehind


@pytest.fixture
async def empty(database_url: str) -> AsyncIterator[AsyncConnection]:
    """A connection to a database without any table."""
    engine = create_async_engine(database_url.replace("postgresql://", "postgresql+psycopg://"))
    async with engine.connect() as connection:
        yield connection
    await engine.dispose()


async def test_the_tables_of_this_release_will_do_for_either_kind_of_connection(
    world: World,
) -> None:
    async with world.engine.connect() as connection:
        await schema.check(connection, GROUPS)
    async with await psycopg.AsyncConnection.connect(world.database_url) as plain:
        await schema.check(plain, GROUPS)


@pytest.mark.parametrize("group", GROUPS)
async def test_a_database_without_a_group_names_the_call_that_makes_it(
    empty: AsyncConnection, group: str
) -> None:
    with pytest.raises(SchemaBehind, match=f"no {group} tables: call .*create_{group}") as caught:
        await schema.check(empty, [group])
    assert caught.value.group == group


@pytest.mark.parametrize("table", ["inbox", "inbox_attempts"])
async def test_a_missing_table_is_named(world: World, table: str) -> None:
    await world.execute(f"DROP TABLE {table}")
    async with world.engine.connect() as connection:
        with pytest.raises(SchemaBehind, match=rf"{table} is missing"):
            await schema.check(connection, ["inbox"])
        await schema.check(connection, ["outbox", "jobs"])


async def test_a_table_of_that_name_in_another_schema_does_not_stand_in_for_a_missing_one(
    world: World,
) -> None:
    await world.execute("CREATE SCHEMA other")
    await world.execute("ALTER TABLE inbox_attempts SET SCHEMA other")
    async with await psycopg.AsyncConnection.connect(
        world.database_url, options="-csearch_path=public,other"
    ) as connection:
        with pytest.raises(SchemaBehind, match="inbox_attempts is missing"):
            await schema.check(connection, ["inbox"])


async def test_tables_without_a_version_are_behind_and_tables_of_a_later_one_are_not(
    world: World,
) -> None:
    await world.execute("COMMENT ON TABLE inbox IS 'ours'")
    async with world.engine.connect() as connection:
        with pytest.raises(SchemaBehind, match="does not say its version"):
            await schema.check(connection, ["inbox"])
        await connection.rollback()
        await world.execute("COMMENT ON TABLE inbox IS 'outbox-rabbitmq 99'")
        await schema.check(connection, ["inbox"])


def test_what_is_dropped_leaves_nothing(database_url: str) -> None:
    engine = create_engine(database_url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as connection:
        for group in GROUPS:
            getattr(schema, f"create_{group}")(connection)
        for group in GROUPS:
            getattr(schema, f"drop_{group}")(connection)
        assert inspect(connection).get_table_names() == []
    engine.dispose()


def declare_invented(metadata: MetaData) -> None:
    """The inbox of an invented release: a column and a table more."""
    declare_inbox(metadata)
    metadata.tables["inbox"].append_column(Column("note", Text))
    metadata.tables["inbox"].comment = "outbox-rabbitmq 3"


INVENTED = TableGroup(
    "inbox",
    "inbox",
    declare_invented,
    steps=(
        ("ALTER TABLE {schema}inbox ADD COLUMN IF NOT EXISTS note text",),
        ("UPDATE {schema}inbox SET note = '' WHERE note IS NULL",),
    ),
)


async def version_of(connection: AsyncConnection) -> object:
    found = await connection.execute(text("SELECT obj_description('inbox'::regclass, 'pg_class')"))
    return found.scalar_one()


async def test_tables_of_version_1_are_behind_until_they_are_upgraded(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(GROUPS, "inbox", INVENTED)
    async with world.engine.connect() as connection:
        with pytest.raises(SchemaBehind, match="have version 1, this code wants 3: call") as caught:
            await schema.check(connection, ["inbox"])
        assert 'outbox.schema.upgrade(op, "inbox", version=3)' in str(caught.value)
        await connection.run_sync(schema.upgrade, "inbox", version=2)
        assert await version_of(connection) == "outbox-rabbitmq 2"
        await connection.run_sync(schema.upgrade, "inbox", version=3)
        await schema.check(connection, ["inbox"])
        await connection.execute(text("SELECT note FROM inbox"))


async def test_a_history_of_migrations_runs_on_tables_that_a_later_release_created(
    empty: AsyncConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(GROUPS, "inbox", INVENTED)

    def migrate(connection: Connection) -> None:
        schema.create_inbox(connection)
        schema.upgrade(connection, "inbox", version=2)

    await empty.run_sync(migrate)
    assert await version_of(empty) == "outbox-rabbitmq 3"


async def test_an_upgrade_to_an_unknown_version_is_refused(empty: AsyncConnection) -> None:
    with pytest.raises(ValueError, match="inbox has no version 99"):
        await empty.run_sync(schema.upgrade, "inbox", version=99)
