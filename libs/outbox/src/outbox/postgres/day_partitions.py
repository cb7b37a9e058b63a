"""A table with a partition for each day: partitions are made ahead of time and dropped when old.

There is no DEFAULT partition: PostgreSQL would have to search it under a strong lock whenever a
partition is added. Without a partition inserts fail, so days are made well ahead. Neither making
nor dropping takes an ACCESS EXCLUSIVE lock on the parent.

The database decides what today is, because its clock stamps the rows. A worker whose clock is
wrong must neither drop today's partition nor leave out tomorrow's.

One file, because making and dropping share the names, the lock and the rule of which day is which.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from datetime import date, timedelta

from sqlalchemy import Connection, TextClause, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

# The same in every process: those that maintain one table exclude each other (decision 1309).
_LOCKS = 7_306_914_221
_LOCK_TIMEOUT = "2s"
_TODAY = "SELECT (clock_timestamp() AT TIME ZONE 'UTC')::date"

# Only in the parent's own schema: the search path may lead to tables of these names in others.
_TABLES = """
SELECT c.oid::regclass::text AS name,
       CASE WHEN c.relnamespace = parent.relnamespace THEN c.relname END AS own
  FROM pg_class parent, pg_class c
"""
_ATTACHED = f"""{_TABLES} JOIN pg_inherits i ON i.inhrelid = c.oid
 WHERE parent.oid = to_regclass(:table) AND i.inhparent = parent.oid AND NOT i.inhdetachpending
"""
_PENDING = f"""{_TABLES} JOIN pg_inherits i ON i.inhrelid = c.oid
 WHERE parent.oid = to_regclass(:table) AND i.inhparent = parent.oid AND i.inhdetachpending
"""
# The comment of a table that maintenance has set aside, written before the table is detached. A
# table that a person detached does not have it.
SET_ASIDE = "past its retention, maintenance drops it"
_IS_SET_ASIDE = f"coalesce(obj_description(c.oid, 'pg_class') = '{SET_ASIDE}', false)"
_SPARED = f"{_ATTACHED} AND {_IS_SET_ASIDE}"
_LOOSE = f"""{_TABLES}
 WHERE parent.oid = to_regclass(:table) AND c.relnamespace = parent.relnamespace
   AND c.relkind = 'r' AND c.relname ~ ('^' || :table || '_p[0-9]{{8}}$')
   AND NOT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = c.oid)
"""
# Left behind by a process that died between detaching and dropping.
_TO_DROP = f"{_LOOSE} AND {_IS_SET_ASIDE}"
_BY_HAND = f"{_LOOSE} AND NOT {_IS_SET_ASIDE}"

_CONSTRAINT = "SELECT pg_get_partition_constraintdef(to_regclass(:name))"

# LIKE + CHECK + ATTACH, because ATTACH takes only SHARE UPDATE EXCLUSIVE on the parent
# (PostgreSQL, ALTER TABLE, "ATTACH PARTITION"); the CHECK spares the scan. The text has no per cent
# sign and no colon before a word, because drivers and SQLAlchemy would take them for parameters.
# A migration's script can hold it, so it reads the day when it runs.
_MAKE = """
DO $$
DECLARE
  parent CONSTANT regclass := '{parent}';
  home CONSTANT text := (SELECT quote_ident(nspname) FROM pg_namespace WHERE oid =
                         (SELECT relnamespace FROM pg_class WHERE oid = parent));
  today CONSTANT date := (clock_timestamp() AT TIME ZONE 'UTC')::date;
  day date;
  name text;
  first text;
  past text;
BEGIN
  FOR day IN SELECT generate_series({first}, {last}, interval '1 day')::date LOOP
    name := home || '.{table}_p' || to_char(day, 'YYYYMMDD');
    CONTINUE WHEN to_regclass(name) IS NOT NULL;
    first := quote_literal(to_char(day, 'YYYY-MM-DD') || ' 00:00+00');
    past := quote_literal(to_char(day + 1, 'YYYY-MM-DD') || ' 00:00+00');
    EXECUTE 'CREATE TABLE ' || name || ' (LIKE ' || parent
      || ' INCLUDING DEFAULTS INCLUDING CONSTRAINTS, CONSTRAINT of_its_day CHECK ({column} >= '
      || first || ' AND {column} < ' || past || '))';
    EXECUTE 'ALTER TABLE ' || parent || ' ATTACH PARTITION ' || name
      || ' FOR VALUES FROM (' || first || ') TO (' || past || ')';
    EXECUTE 'ALTER TABLE ' || name || ' DROP CONSTRAINT of_its_day';
  END LOOP;
END $$"""


@dataclass(frozen=True, slots=True)
class DayPartitions:
    """A table partitioned by RANGE over the days (UTC) of a timestamptz column."""

    table: str
    column: str
    ahead: int = 14
    """Days for which partitions are made in advance."""
    keep: int = 7
    """Days after which a partition may go."""
    needed: str = "false"
    """SQL on a row: whether its partition must stay, however old."""

    @property
    def lock(self) -> int:
        """The advisory lock for making or dropping partitions of the table."""
        return _LOCKS + zlib.crc32(self.table.encode())

    def name_of(self, day: date) -> str:
        """The name of a day's partition, such as `outbox_p20260131`."""
        return f"{self.table}_p{day:%Y%m%d}"

    def day_of(self, name: str) -> date | None:
        """The day of a partition, or None if this library did not make it."""
        found = re.fullmatch(rf"{re.escape(self.table)}_p(\d{{8}})", name, re.ASCII)
        try:
            return date.fromisoformat(found[1]) if found else None
        except ValueError:
            return None

    def first_days(self, parent: str) -> str:
        """SQL that makes yesterday, today and the days ahead for a table that was just created.

        `parent` is its name, quoted and with its schema. The database decides what today is when
        the SQL runs, so a script may be run on another day.
        """
        return self._make(parent, "today - 1", f"today + {self.ahead}")

    def days(self, today: date) -> list[date]:
        """The days that must have a partition: yesterday, today and the days ahead."""
        return [today + timedelta(days=n) for n in range(-1, self.ahead + 1)]

    def add(self, day: date) -> str:
        """SQL that makes the partition of a day if it is missing."""
        return self._make(self.table, f"date '{day}'", f"date '{day}'")

    async def ensure_ahead(self, engine: AsyncEngine) -> None:
        """Make the missing days, one transaction a day, unless another process makes them now.

        A day cannot be made if a partition made by others covers it. The other days are made all
        the same; the error is raised at the end.
        """
        failed: DBAPIError | None = None
        async with engine.connect() as connection:
            async with connection.begin():
                day = await connection.run_sync(today)
            for missing in self.days(day):
                try:
                    async with connection.begin():
                        if await _acquire_lock(connection, self.lock):
                            await connection.execute(text(self.add(missing)))
                except DBAPIError as problem:
                    if problem.connection_invalidated:
                        raise
                    failed = failed or problem
        if failed is not None:
            raise failed

    async def made_by_others(self, connection: AsyncConnection) -> list[str]:
        """Attached partitions that this library did not make and does not touch."""
        found = await self._found(connection, _ATTACHED)
        return [name for name, day in found.items() if day is None]

    async def detached_by_hand(self, connection: AsyncConnection) -> list[str]:
        """Days that a person has detached; the library does not touch them."""
        return list(await self._days(connection, _BY_HAND))

    async def days_ahead(self, connection: AsyncConnection) -> int:
        """For how many days from now inserts have a partition."""
        there, ahead = set((await self._days(connection, _ATTACHED)).values()), 0
        day = await connection.run_sync(today)
        while day + timedelta(days=ahead + 1) in there:
            ahead += 1
        return ahead

    async def has_today(self, connection: AsyncConnection) -> bool:
        """Whether inserts have a partition now."""
        day = await connection.run_sync(today)
        if day in (await self._days(connection, _ATTACHED)).values():
            return True
        others = await self.made_by_others(connection)
        return any([await self._covers_now(connection, name) for name in others])

    async def drop_expired(self, engine: AsyncEngine) -> list[str]:
        """Drop partitions past the retention of which no row is needed; returns their names.

        A partition is detached first and dropped afterwards (decision 0404). If the process is
        killed at any step, the next run goes on from there. A row that becomes needed between the
        check and the detaching (by a replay) brings its partition back.
        """
        autocommit = engine.execution_options(isolation_level="AUTOCOMMIT")
        async with autocommit.connect() as connection:
            ours = text("SELECT pg_try_advisory_lock(:key)")
            if not await connection.scalar(ours, {"key": self.lock}):
                return []
            try:
                await connection.execute(text(f"SET lock_timeout = '{_LOCK_TIMEOUT}'"))
                oldest_kept = await connection.run_sync(today) - timedelta(days=self.keep)
                await self._set_aside(connection, oldest_kept)
                dropped = await self._drop(connection, oldest_kept)
            except BaseException:
                # The settings and locks belong to the session, so it must not go back to the pool.
                # Undoing them here would fail on a session that is lost or in mid-statement.
                await connection.invalidate()
                raise
            await connection.execute(text("RESET lock_timeout"))
            await connection.execute(text("SELECT pg_advisory_unlock_all()"))
        return dropped

    async def _expired(self, connection: AsyncConnection, oldest_kept: date) -> list[str]:
        days = await self._days(connection, _ATTACHED)
        old = [name for name, day in days.items() if day < oldest_kept]
        return [name for name in old if not await self._is_needed(connection, name)]

    async def _set_aside(self, connection: AsyncConnection, oldest_kept: date) -> None:
        """Detach expired partitions, and finish detachments that were interrupted."""
        for name in await self._found(connection, _PENDING):
            await connection.execute(self._detach(name, "FINALIZE"))
        for name in await self._found(connection, _SPARED):
            await connection.execute(_mark(name, None))
        for name in await self._expired(connection, oldest_kept):
            await connection.execute(_mark(name, SET_ASIDE))
            await connection.execute(self._detach(name, "CONCURRENTLY"))

    async def _drop(self, connection: AsyncConnection, oldest_kept: date) -> list[str]:
        """Drop partitions that were set aside, or attach those again that are needed after all."""
        dropped: list[str] = []
        for name, day in (await self._days(connection, _TO_DROP)).items():
            if day >= oldest_kept or await self._is_needed(connection, name):
                await connection.execute(self._attach(name, day))
                await connection.execute(_mark(name, None))
            else:
                await connection.execute(text(f"DROP TABLE {name}"))
                dropped.append(name)
        return dropped

    async def _is_needed(self, connection: AsyncConnection, name: str) -> bool:
        query = f"SELECT EXISTS (SELECT FROM {name} WHERE {self.needed})"  # noqa: S608
        return bool((await connection.execute(text(query))).scalar_one())

    async def _found(self, connection: AsyncConnection, query: str) -> dict[str, date | None]:
        """The tables that the query finds, by the name for this connection, with their days."""
        rows = await connection.execute(text(f"{query} ORDER BY 1"), {"table": self.table})
        return {name: self.day_of(own or "") for name, own in rows}

    async def _days(self, connection: AsyncConnection, query: str) -> dict[str, date]:
        """The tables that the query finds and this library made, the oldest first."""
        found = await self._found(connection, query)
        return {name: day for name, day in found.items() if day is not None}

    def _detach(self, name: str, how: str) -> TextClause:
        return text(f"ALTER TABLE {self.table} DETACH PARTITION {name} {how}")  # see decision 0404

    def _attach(self, name: str, day: date) -> TextClause:
        return text(
            f"ALTER TABLE {self.table} ATTACH PARTITION {name}"
            f" FOR VALUES FROM ('{day} 00:00+00') TO ('{day + timedelta(days=1)} 00:00+00')"
        )

    def _make(self, parent: str, first: str, last: str) -> str:
        """SQL that makes the days from `first` to `last`, which are SQL dates, where missing.

        They may use `today`, the database's day when the statement runs. The days go to the
        schema of the parent.
        """
        quoted = parent.replace("'", "''")
        return _MAKE.format(
            parent=quoted, table=self.table, column=self.column, first=first, last=last
        )

    async def _covers_now(self, connection: AsyncConnection, name: str) -> bool:
        """Whether a row stamped now would go to this partition, whatever its name."""
        bounds = (await connection.execute(text(_CONSTRAINT), {"name": name})).scalar_one()
        now = f'SELECT clock_timestamp() AS "{self.column}"'
        query = f"SELECT {bounds} FROM ({now}) AS present"  # noqa: S608
        return bool((await connection.exec_driver_sql(query)).scalar_one())


OUTBOX = DayPartitions("outbox", "created_at", needed="published_at IS NULL")
"""The outbox table. Rows that are unpublished, parked ones included, are needed."""
INBOX_APPLIED = DayPartitions("inbox_applied", "applied_at", ahead=4)
"""When events took effect. Without a partition the times are not stored, and nothing else ends."""


def today(connection: Connection) -> date:
    """The database's day in UTC."""
    day: date = connection.execute(text(_TODAY)).scalar_one()
    return day


def _mark(name: str, comment: str | None) -> TextClause:
    return text(f"COMMENT ON TABLE {name} IS " + ("NULL" if comment is None else f"'{comment}'"))


async def _acquire_lock(connection: AsyncConnection, lock: int) -> bool:
    locked = await connection.execute(
        text("SELECT pg_try_advisory_xact_lock(:key), set_config('lock_timeout', :wait, true)"),
        {"key": lock, "wait": _LOCK_TIMEOUT},
    )
    return bool(locked.scalar_one())
