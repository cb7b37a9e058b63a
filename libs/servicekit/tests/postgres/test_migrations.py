"""Alembic on a real PostgreSQL: one process migrates, others wait; behind differs from ahead."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from alembic import command
from alembic.config import Config
from alembic.script import Script

from servicekit.database import migrations
from servicekit.database.migrations import (
    Schema,
    current_and_head,
    ensure_current,
    upgrade,
)
from servicekit.database.probe import DatabaseProbe, SchemaIsBehind, SchemaIsForeign
from servicekit.process.startup_errors import StartupProblem
from servicekit.process.urls import PostgresUrl
from servicekit.testing import Outage

VARIABLE = "DATABASE_URL_TOYS"

ENV = f"""
from sqlalchemy import Column, Integer, MetaData, Table
from servicekit.database.migrations import run_env
metadata = MetaData()
Table("marbles", metadata, Column("id", Integer))
run_env(metadata, "{VARIABLE}")
"""

REVISION = """
from alembic import op
revision, down_revision = "{number:04}", {before}
def upgrade(): op.execute("{statement}")
"""


@pytest.fixture
def ini(tmp_path: Path) -> Path:
    """A service's Alembic folder without a revision."""
    (tmp_path / "migrations" / "versions").mkdir(parents=True)
    (tmp_path / "migrations" / "env.py").write_text(ENV)
    found = tmp_path / "alembic.ini"
    found.write_text("[alembic]\nscript_location = %(here)s/migrations\npath_separator = os\n")
    return found


@pytest.fixture
def revise(ini: Path) -> Callable[[int, str], None]:
    def write(number: int, statement: str) -> None:
        before = f'"{number - 1:04}"' if number > 1 else None
        script = REVISION.format(number=number, before=before, statement=statement)
        (ini.parent / "migrations" / "versions" / f"{number:04}.py").write_text(script)

    return write


Revise = Callable[[int, str], None]


async def test_an_empty_database_is_behind_and_upgraded_to_head(
    database: PostgresUrl, ini: Path, revise: Revise
) -> None:
    revise(1, "CREATE TABLE toys (id int)")
    assert (await current_and_head(database, ini)).behind
    await asyncio.to_thread(upgrade, database, ini, variable=VARIABLE)
    await asyncio.to_thread(upgrade, database, ini, variable=VARIABLE)
    schema = await current_and_head(database, ini)
    assert (set(schema.current), schema.behind) == ({"0001"}, False)


async def test_many_processes_that_migrate_at_once_do_it_once(
    database: PostgresUrl, ini: Path, revise: Revise
) -> None:
    revise(1, "CREATE TABLE toys AS SELECT 1 FROM pg_sleep(0.3)")
    revise(2, "CREATE TABLE more_toys (id int)")
    command = (Path(__file__).parent / "migrate.py", database, ini)
    runs = [await asyncio.create_subprocess_exec(sys.executable, *command) for _ in range(3)]
    assert [await run.wait() for run in runs] == [0, 0, 0]
    assert not (await current_and_head(database, ini)).behind


async def test_a_wait_too_long_for_another_migration_is_a_startup_problem(
    database: PostgresUrl, ini: Path
) -> None:
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as holder:
        await holder.execute("SELECT pg_advisory_lock(%s)", (migrations.LOCK,))
        with pytest.raises(StartupProblem, match="another process has been migrating"):
            await asyncio.to_thread(upgrade, database, ini, variable=VARIABLE, deadline=0.3)


async def test_a_schema_behind_stops_the_start_and_names_the_command(
    database: PostgresUrl, ini: Path, revise: Revise
) -> None:
    revise(1, "CREATE TABLE toys (id int)")
    await asyncio.to_thread(upgrade, database, ini, variable=VARIABLE)
    revise(2, "CREATE TABLE more_toys (id int)")
    with pytest.raises(StartupProblem) as raised:
        await ensure_current(database, ini, variable=VARIABLE, command="make migrate-toys")
    assert "is behind this code: run `make migrate-toys`" in str(raised.value)
    assert "it has 0001, the code wants 0002" in str(raised.value)


async def test_a_schema_ahead_is_allowed_and_left_alone(
    database: PostgresUrl, ini: Path, revise: Revise
) -> None:
    revise(1, "CREATE TABLE toys (id int)")
    revise(2, "CREATE TABLE more_toys (id int)")
    await asyncio.to_thread(upgrade, database, ini, variable=VARIABLE)
    (ini.parent / "migrations" / "versions" / "0002.py").unlink()
    await ensure_current(database, ini, variable=VARIABLE, command="make migrate-toys")
    await asyncio.to_thread(upgrade, database, ini, variable=VARIABLE)
    assert (await current_and_head(database, ini)).current == {"0002"}


@pytest.mark.parametrize(
    ("current", "foreign"),
    [
        ({"toys_0002"}, set()),
        ({"toys_0003"}, set()),
        ({"toys_0002", "games_0001"}, {"games_0001"}),
        ({"toys2_0003"}, {"toys2_0003"}),
        ({"0003"}, {"0003"}),
        (set(), set()),
    ],
)
def test_a_revision_of_an_unknown_lineage_is_foreign(current: set[str], foreign: set[str]) -> None:
    heads, known = frozenset({"toys_0002"}), frozenset({"toys_0001", "toys_0002"})
    assert Schema(frozenset(current), heads, known).foreign == foreign


def test_a_new_revision_is_the_next_of_its_lineage(
    migrated_toys: Path, database: PostgresUrl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, database)
    config = Config(str(migrated_toys))
    for message, name in (("a rule", "toys_0002"), ("another", "toys_0003")):
        script = command.revision(config, message, autogenerate=True)
        assert isinstance(script, Script)
        assert script.revision == name
        upgrade(database, migrated_toys, variable=VARIABLE)


def test_a_revision_that_changes_nothing_is_not_written(
    database: PostgresUrl, migrated_toys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, database)
    with psycopg.connect(database) as connection:
        connection.execute("CREATE TABLE marbles (id int)")
    written = command.revision(Config(str(migrated_toys)), "nothing", autogenerate=True)
    assert written == []
    assert [file.name for file in migrated_toys.parent.rglob("versions/*.py")] == ["first.py"]


@pytest.fixture
def migrated_toys(ini: Path, database: PostgresUrl) -> Path:
    """The lineage `toys`, at its first revision, with what it takes to write another."""
    folder = ini.parent / "migrations"
    first = REVISION.format(number=1, before=None, statement="SELECT 1")
    (folder / "versions" / "first.py").write_text(first.replace('"0001"', '"toys_0001"'))
    (folder / "script.py.mako").write_text(
        "revision, down_revision = ${repr(up_revision)}, ${repr(down_revision)}\n"
        "def upgrade(): pass\n"
    )
    upgrade(database, ini, variable=VARIABLE)
    return ini


@pytest.mark.parametrize("found", ["games_0007", "toys2_0003"])
async def test_a_schema_that_is_not_for_this_code_stops_the_start_and_is_left_alone(
    database: PostgresUrl, ini: Path, revise: Revise, found: str
) -> None:
    revise(1, "CREATE TABLE toys (id int)")
    probe = DatabaseProbe(database, ini)
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
        await connection.execute("CREATE TABLE alembic_version (version_num text)")
        await connection.execute("INSERT INTO alembic_version VALUES (%s)", [found])
    for start in (
        asyncio.to_thread(upgrade, database, ini, variable=VARIABLE),
        ensure_current(database, ini, variable=VARIABLE, command="make migrate-toys"),
    ):
        with pytest.raises(StartupProblem) as raised:
            await start
        assert f"has {found}, which is not for this code (it wants 0001)" in str(raised.value)
        assert VARIABLE in str(raised.value)
    with pytest.raises(SchemaIsForeign):
        await probe.migrations()
    assert (await current_and_head(database, ini)).current == {found}
    await probe.aclose()


@pytest.mark.parametrize(
    ("current", "heads", "known", "behind"),
    [
        (set(), {"2"}, {"1", "2"}, True),
        ({"1"}, {"2"}, {"1", "2"}, True),
        ({"2"}, {"2"}, {"1", "2"}, False),
        ({"3"}, {"2"}, {"1", "2"}, False),
        ({"2", "x"}, {"2"}, {"1", "2"}, False),
        ({"2"}, {"2", "x"}, {"1", "2", "x"}, True),
    ],
)
def test_behind_is_when_known_revisions_are_missing(
    current: set[str], heads: set[str], known: set[str], behind: bool
) -> None:
    schema = Schema(frozenset(current), frozenset(heads), frozenset(known))
    assert schema.behind is behind


async def test_an_unreachable_database_is_one_line(
    unsteady_database: PostgresUrl, database_outage: Outage, ini: Path
) -> None:
    await database_outage.begin()
    with pytest.raises(StartupProblem, match="cannot be reached"):
        await asyncio.to_thread(upgrade, unsteady_database, ini, variable=VARIABLE)
    with pytest.raises(StartupProblem, match="cannot be reached"):
        await ensure_current(unsteady_database, ini, variable=VARIABLE, command="make migrate")


async def test_the_probe_distinguishes_the_database_from_its_schema_and_survives_an_outage(
    unsteady_database: PostgresUrl, database_outage: Outage, ini: Path, revise: Revise
) -> None:
    revise(1, "CREATE TABLE toys (id int)")
    probe = DatabaseProbe(unsteady_database, ini)
    await probe.database()
    with pytest.raises(SchemaIsBehind):
        await probe.migrations()
    await asyncio.to_thread(upgrade, unsteady_database, ini, variable=VARIABLE)
    await probe.migrations()
    await database_outage.begin()
    with pytest.raises(psycopg.OperationalError):
        await probe.database()
    await database_outage.end()
    await asyncio.gather(probe.database(), probe.migrations())
    await probe.aclose()
