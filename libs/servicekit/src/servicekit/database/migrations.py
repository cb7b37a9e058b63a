"""Alembic under an advisory lock: any number of processes may start to migrate, one does it.

The lock is tried in a loop, in autocommit: a statement that waits for it would hold a snapshot,
which blocks CREATE INDEX CONCURRENTLY in the very migration it waits for. The lock belongs to a
connection of its own, so a migration may begin and end transactions as it likes.

A revision is called `<lineage>_<number>`. An unknown revision of a known lineage is ahead of this
code. An unknown lineage means another service's database, or a later version that began a new
lineage (`orders2_0009`) because older code cannot work with its changes.
"""

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from alembic import command, context
from alembic.config import Config
from alembic.operations.ops import MigrationScript
from alembic.script import ScriptDirectory
from sqlalchemy import MetaData, create_engine, pool
from tenacity import RetryError, Retrying, retry_if_result, stop_after_delay, wait_fixed

from outbox.postgres.sessions import CONNECT_TIMEOUT
from servicekit.database.engine import connect, unreachable
from servicekit.process.startup_errors import StartupProblem
from servicekit.process.urls import PostgresUrl

__all__ = ["Schema", "current_and_head", "ensure_current", "run_env", "upgrade"]

LOCK = 0x736B_6D69_6772  # the same number in every process that migrates
LOCK_RETRY = 0.2


@dataclass(frozen=True)
class Schema:
    """Which revisions the database has, and which this code knows and expects."""

    current: frozenset[str]
    heads: frozenset[str]
    known: frozenset[str]

    @property
    def behind(self) -> bool:
        """Whether revisions that the code expects are missing, and none is ahead of it."""
        return not self.heads <= self.current and self.current <= self.known

    @property
    def foreign(self) -> frozenset[str]:
        """Revisions of a lineage that this code does not know: it cannot work with them."""
        own = {_lineage(revision) for revision in self.known}
        return frozenset(one for one in self.current - self.known if _lineage(one) not in own)


def _lineage(revision: str) -> str:
    return revision.rpartition("_")[0]  # see decision 0813


def upgrade(url: PostgresUrl, ini: Path, *, variable: str, deadline: float = 60.0) -> None:
    """Bring the database to head; raise StartupProblem in one line when that cannot be.

    `deadline` is how many seconds to wait for another process that is migrating.
    """
    try:
        lock = psycopg.connect(
            url, autocommit=True, connect_timeout=CONNECT_TIMEOUT, application_name="migrate"
        )
    except psycopg.Error as error:
        raise unreachable(url, variable, error) from None
    with lock, _locked(lock, deadline):
        schema = compare(_read_current(lock), ini)
        _refuse_foreign(schema, url, variable)
        if schema.current - schema.known:
            return  # ahead of this code: a later version has migrated it
        config = _config(ini)
        config.attributes["database_url"] = url
        command.upgrade(config, "head")


@contextmanager
def _locked(connection: psycopg.Connection, deadline: float) -> Iterator[None]:
    until_locked = Retrying(
        retry=retry_if_result(lambda locked: not locked),
        wait=wait_fixed(LOCK_RETRY),
        stop=stop_after_delay(deadline),
    )
    try:
        until_locked(_try_lock, connection)
    except RetryError:
        raise StartupProblem(
            f"another process has been migrating this database for {deadline:.0f} s;"
            " see pg_locks, then try again"
        ) from None
    try:
        yield
    finally:
        connection.execute("SELECT pg_advisory_unlock(%s)", (LOCK,))


def _try_lock(connection: psycopg.Connection) -> bool:
    row = connection.execute("SELECT pg_try_advisory_lock(%s)", (LOCK,)).fetchone()
    return row is not None and bool(row[0])


async def current_and_head(url: PostgresUrl, ini: Path) -> Schema:
    """Read the database's revisions and the code's; raises psycopg.Error when it is away."""
    async with await connect(url, application_name="schema-check") as connection:
        return compare(await read_current(connection), ini)


async def ensure_current(url: PostgresUrl, ini: Path, *, variable: str, command: str) -> None:
    """Raise StartupProblem when the schema is behind, or foreign; `command` helps if behind."""
    try:
        schema = await current_and_head(url, ini)
    except psycopg.Error as error:
        raise unreachable(url, variable, error) from None
    _refuse_foreign(schema, url, variable)
    if schema.behind:
        raise StartupProblem(
            f"the schema at {url.address} is behind this code: run `{command}`"
            f" (it has {_names(schema.current)}, the code wants {_names(schema.heads)})"
        )


def _refuse_foreign(schema: Schema, url: PostgresUrl, variable: str) -> None:
    if schema.foreign:
        raise StartupProblem(
            f"the schema at {url.address} has {_names(schema.foreign)}, which is not for this code"
            f" (it wants {_names(schema.heads)}): another service's database, or one that a later"
            f" version has changed for good (see {variable})"
        )


def _names(revisions: Collection[str]) -> str:
    return ", ".join(sorted(revisions)) or "no revision"


async def read_current(connection: psycopg.AsyncConnection) -> frozenset[str]:
    """The database's revisions; none when it was never migrated."""
    try:
        cursor = await connection.execute("SELECT version_num FROM alembic_version")
    except psycopg.errors.UndefinedTable:
        return frozenset()
    return frozenset(row[0] for row in await cursor.fetchall())


def _read_current(connection: psycopg.Connection) -> frozenset[str]:
    try:
        cursor = connection.execute("SELECT version_num FROM alembic_version")
    except psycopg.errors.UndefinedTable:
        return frozenset()
    return frozenset(row[0] for row in cursor.fetchall())


def compare(current: frozenset[str], ini: Path) -> Schema:
    return Schema(current, heads=heads(ini), known=_known(ini))


def heads(ini: Path) -> frozenset[str]:
    return frozenset(ScriptDirectory.from_config(_config(ini)).get_heads())


def _known(ini: Path) -> frozenset[str]:
    script = ScriptDirectory.from_config(_config(ini))
    return frozenset(revision.revision for revision in script.walk_revisions())


def _config(ini: Path) -> Config:
    if not ini.is_file():
        raise StartupProblem(f"{ini} is missing: is the service installed whole?")
    return Config(str(ini))


def run_env(metadata: MetaData, *variables: str, **options: Any) -> None:
    """Do all that a service's `migrations/env.py` does; `options` are Alembic's.

    The address is the one that `upgrade` was given, else that of the first of `variables` that is
    set.
    """
    found = [os.environ[name] for name in variables if os.environ.get(name)]
    url = context.config.attributes.get("database_url") or next(iter(found), None)
    if not url:
        name = variables[-1]
        raise StartupProblem(f"{name} is not set (example: {name}={PostgresUrl.example})")
    engine = create_engine(PostgresUrl.parse(url).sqlalchemy, poolclass=pool.NullPool)
    with engine.connect() as connection:
        context.configure(
            connection=connection,
            target_metadata=metadata,
            process_revision_directives=_number_revision,
            **options,
        )
        with context.begin_transaction():
            context.run_migrations()


def _number_revision(_context: object, _revision: object, written: list[MigrationScript]) -> None:
    """Name a new revision by the next number of its lineage, and drop one that changes nothing.

    Alembic calls it for revisions that come from a comparison, and for no others.
    """
    head = context.script.get_current_head()
    lineage, _, number = (head or "").rpartition("_")
    for script in written:
        if lineage and number.isdigit():
            script.rev_id = f"{lineage}_{int(number) + 1:04}"
    written[:] = [script for script in written if not _is_empty(script)]


def _is_empty(script: MigrationScript) -> bool:
    return script.upgrade_ops is not None and script.upgrade_ops.is_empty()
