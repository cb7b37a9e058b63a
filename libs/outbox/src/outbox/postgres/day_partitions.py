"""Day partitions of a table: made ahead of time, dropped behind.

There is no DEFAULT partition: it would have to be searched under a strong lock whenever a
partition is added. A missing partition makes inserts fail, so that days are made well ahead.
Neither adding nor dropping takes an ACCESS EXCLUSIVE lock on the parent.

Which day it is says the database, whose clock stamps the rows: one worker's clock that is wrong
must neither drop today's partition nor leave tomorrow's out.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from datetime import date, timedelta

from sqlalchemy import Connection, TextClause, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from outbox.postgres.partition_bounds import takes_now
from outbox.postgres.partition_statements import make_days

# In every process the same: those that look after one table must meet.
_LOCKS = 7_306_914_221
_LOCK_TIMEOUT = "2s"
_TODAY = "SELECT (clock_timestamp() AT TIME ZONE 'UTC')::date"

# In the parent's own schema, whatever else the search path leads to.
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
# Written on a table before it is detached: what has it was set aside by this, not by a person.
SET_ASIDE = "past its retention, maintenance drops it"
_IS_SET_ASIDE = f"coalesce(obj_description(c.oid, 'pg_class') = '{SET_ASIDE}', false)"
_SPARED = f"{_ATTACHED} AND {_IS_SET_ASIDE}"
_LOOSE = f"""{_TABLES}
 WHERE parent.oid = to_regclass(:table) AND c.relnamespace = parent.relnamespace
   AND c.relkind = 'r' AND c.relname ~ ('^' || :table || '_p[0-9]{{8}}$')
   AND NOT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = c.oid)
"""
# Left by whoever died between detaching one and dropping it.
_TO_DROP = f"{_LOOSE} AND {_IS_SET_ASIDE}"
_BY_HAND = f"{_LOOSE} AND NOT {_IS_SET_ASIDE}"


@dataclass(frozen=True, slots=True)
class DayPartitions:
    """A table partitioned by RANGE over days of a timestamptz column, days being UTC."""

    table: str
    column: str
    ahead: int = 14
    """Days for which partitions are made beforehand."""
    keep: int = 7
    """Days after which a partition may go."""
    needed: str = "false"
    """SQL on a row: whether its partition must stay, however old."""

    @property
    def lock(self) -> int:
        """The advisory lock of whoever makes or drops a partition of the table."""
        return _LOCKS + zlib.crc32(self.table.encode())

    def name_of(self, day: date) -> str:
        """The partition of a day, as in `outbox_p20260131`."""
        return f"{self.table}_p{day:%Y%m%d}"

    def day_of(self, name: str) -> date | None:
        """The day of a partition, or None if it is not one of these: somebody else made it."""
        found = re.fullmatch(rf"{re.escape(self.table)}_p(\d{{8}})", name, re.ASCII)
        try:
            return date.fromisoformat(found[1]) if found else None
        except ValueError:
            return None

    def first_days(self, parent: str) -> str:
        """SQL that makes yesterday, today and the days ahead of a table that was just created.

        `parent` is its name, quoted and with its schema. The database says what today is, so that
        a script may be run on another day.
        """
        return self._make(parent, "today - 1", f"today + {self.ahead}")

    def days(self, today: date) -> list[date]:
        """Yesterday, today and the days ahead: those that must be there."""
        return [today + timedelta(days=n) for n in range(-1, self.ahead + 1)]

    def add(self, day: date) -> str:
        """SQL that makes the partition of a day, where it is missing."""
        return self._make(self.table, f"date '{day}'", f"date '{day}'")

    async def ensure_ahead(self, engine: AsyncEngine) -> None:
        """Make what is missing, one transaction a day; another process at it is left to it.

        A day that cannot be made, because somebody's partition has it, keeps no other from being
        made; its error is raised at the end.
        """
        failed: DBAPIError | None = None
        async with engine.connect() as connection:
            async with connection.begin():
                day = await connection.run_sync(today)
            for missing in self.days(day):
                try:
                    async with connection.begin():
                        if await _is_ours_to_do(connection, self.lock):
                            await connection.execute(text(self.add(missing)))
                except DBAPIError as problem:
                    if problem.connection_invalidated:
                        raise
                    failed = failed or problem
        if failed is not None:
            raise failed

    async def foreign(self, connection: AsyncConnection) -> list[str]:
        """Partitions that are attached, but are not a day of ours: left to whoever made them."""
        found = await self._found(connection, _ATTACHED)
        return [name for name, day in found.items() if day is None]

    async def detached_by_hand(self, connection: AsyncConnection) -> list[str]:
        """Days that are not attached, and were not set aside by this: left to whoever did it."""
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
        others = await self.foreign(connection)
        return any([await takes_now(connection, name, self.column) for name in others])

    async def drop_expired(self, engine: AsyncEngine) -> list[str]:
        """Drop partitions past the retention of which no row is needed; returns their names.

        Killed at any step, it goes on where it was the next time. A row that becomes needed
        between the check and the detaching (a replay) brings its partition back.
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
                # Settings and locks are the session's: nobody else may get it from the pool. To
                # undo them here would fail where the session is lost, or in mid-statement.
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
        """Detach what has expired, and end what somebody began."""
        for name in await self._found(connection, _PENDING):
            await connection.execute(self._detach(name, "FINALIZE"))
        for name in await self._found(connection, _SPARED):
            await connection.execute(_mark(name, None))
        for name in await self._expired(connection, oldest_kept):
            await connection.execute(_mark(name, SET_ASIDE))
            await connection.execute(self._detach(name, "CONCURRENTLY"))

    async def _drop(self, connection: AsyncConnection, oldest_kept: date) -> list[str]:
        """Drop what was set aside, or attach it again if it or a row of it is needed after all."""
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
        """The tables found, by name, as this connection reaches them, with their days."""
        rows = await connection.execute(text(f"{query} ORDER BY 1"), {"table": self.table})
        return {name: self.day_of(own or "") for name, own in rows}

    async def _days(self, connection: AsyncConnection, query: str) -> dict[str, date]:
        """Those of the tables found that are days of ours, the oldest first."""
        found = await self._found(connection, query)
        return {name: day for name, day in found.items() if day is not None}

    def _detach(self, name: str, how: str) -> TextClause:
        return text(f"ALTER TABLE {self.table} DETACH PARTITION {name} {how}")

    def _attach(self, name: str, day: date) -> TextClause:
        return text(
            f"ALTER TABLE {self.table} ATTACH PARTITION {name}"
            f" FOR VALUES FROM ('{day} 00:00+00') TO ('{day + timedelta(days=1)} 00:00+00')"
        )

    def _make(self, parent: str, first: str, last: str) -> str:
        return make_days(
            parent=parent, table=self.table, column=self.column, first=first, last=last
        )


OUTBOX = DayPartitions("outbox", "created_at", needed="published_at IS NULL")
"""The log. What is not published, or parked, is needed."""


def today(connection: Connection) -> date:
    """The database's day in UTC."""
    day: date = connection.execute(text(_TODAY)).scalar_one()
    return day


def _mark(name: str, comment: str | None) -> TextClause:
    return text(f"COMMENT ON TABLE {name} IS " + ("NULL" if comment is None else f"'{comment}'"))


async def _is_ours_to_do(connection: AsyncConnection, lock: int) -> bool:
    locked = await connection.execute(
        text("SELECT pg_try_advisory_xact_lock(:key), set_config('lock_timeout', :wait, true)"),
        {"key": lock, "wait": _LOCK_TIMEOUT},
    )
    return bool(locked.scalar_one())
