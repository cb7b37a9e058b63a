"""Which relay publishes which lane: each lane has one owner, by a session-level advisory lock.

The lock lives and dies with the relay's lock session: no lease, no clock, no leader. Relays find
each other in `pg_locks` by a shared lock that each one has (PostgreSQL, "Advisory Locks").

Invariant: no bucket has two owners, also while the number of lanes changes (decision 1123). The
number is part of every lock's key. A relay first announces, by its shared lock, the number that it
follows. Only then does it look for others, and it acquires lanes while it sees no relay with
another number. Of two relays that come with two numbers at once, at least one sees the other; an
owner of lanes is seen until it has released all of them. Every relay follows the number in the
database, so that all come to the same one.
"""

from __future__ import annotations

import random

from outbox.errors import LanesMismatch
from outbox.log.relay_queries import Connection

# The second half of a lock's key is `lanes * KEY`, plus 0 for presence or the lane plus one.
KEY = 65_536

# Lanes belong to the outbox table that this relay reads: other schemas have lanes of their own.
_SPACE = """
SELECT hashtext('outbox lanes in ' || relnamespace::regnamespace) & 2147483647
  FROM pg_class WHERE oid = to_regclass('outbox')
"""
_LANES = "SELECT lanes FROM outbox_settings"
_JOIN = "SELECT pg_advisory_lock_shared(%s, %s)"
_SURVEY = f"""
SELECT (SELECT lanes FROM outbox_settings), pg_backend_pid(),
       coalesce(array_agg(DISTINCT pid ORDER BY pid) FILTER (WHERE objid = ours), '{{}}'),
       coalesce(array_agg(objid - ours - 1) FILTER (WHERE objid - ours BETWEEN 1 AND {KEY - 1}),
                '{{}}'),
       coalesce(bool_or(objid / {KEY} <> ours / {KEY}), false)
  FROM (SELECT pid, objid::bigint, %(ours)s::bigint AS ours FROM pg_locks
         WHERE locktype = 'advisory' AND granted AND objsubid = 2
           AND classid = %(space)s::bigint::oid
           AND database = (SELECT oid FROM pg_database WHERE datname = current_database())) here
"""  # noqa: S608
_ACQUIRE = (
    "SELECT lane FROM unnest(%s::int[]) AS lane WHERE pg_try_advisory_lock(%s, %s + lane + 1)"
)
_RELEASE = "SELECT pg_advisory_unlock(%s, %s + lane + 1) FROM unnest(%s::int[]) AS lane"
_EMPTY = "outbox_settings is empty: run the migrations"
# The lock session has no other advisory locks.
_LEAVE = "SELECT pg_advisory_unlock_all()"


class Lanes:
    """The lanes that this relay's lock session owns, numbered from 0."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._space = 0
        self._expected: int | None = None
        self._wanted = 0
        self._unavailable: set[int] = set()
        self._others = True
        self._share = 0
        self.owned: frozenset[int] = frozenset()
        self.total = 0
        self.relays = 0

    async def join(self, expected: int | None = None) -> None:
        """Become visible to other relays. Raises `LanesMismatch` if another number is expected."""
        self._space = int(await self._value(_SPACE))
        self._expected = expected
        await self._join(int(await self._value(_LANES)))

    @property
    def own_all(self) -> bool:
        """Whether no other relay owns any."""
        return len(self.owned) == self.total > 0

    async def has_surplus(self) -> bool:
        """Look for other relays and their lanes; true if this relay owns more than its share."""
        cursor = await self._connection.execute(
            _SURVEY, {"space": self._space, "ours": self.total * KEY}
        )
        row = await cursor.fetchone()
        if row is None or row[0] is None:
            raise LookupError(_EMPTY)
        self._wanted, pid, relays, owned, self._others = row
        self.relays, self._unavailable = max(len(relays), 1), set(owned)
        # The first few by their pid have one more, if the share is not even.
        each, left = divmod(self.total, self.relays)
        self._share = each + (pid in relays[:left])
        return self._wanted != self.total or len(self.owned) > self._share

    async def release_surplus(self) -> None:
        """Release the lanes above the share; none of their events may be in flight.

        If the number of lanes has changed, release all of them and join under the new number.
        Raises `LanesMismatch` if the relay expects another one.
        """
        if self._wanted != self.total:
            await self._connection.execute(_LEAVE)
            self.owned = frozenset()
            await self._join(self._wanted)
            return
        released = sorted(self.owned)[self._share :]
        await self._connection.execute(_RELEASE, [self._space, self.total * KEY, released])
        self.owned -= set(released)

    async def acquire_share(self) -> bool:
        """Acquire free lanes up to the share; true if there was one.

        Acquires none until it has seen that no relay follows another number.
        """
        missing = self._share - len(self.owned)
        return not self._others and missing > 0 and await self._acquire(missing)

    async def _join(self, total: int) -> None:
        if self._expected is not None and self._expected != total:
            raise LanesMismatch(self._expected, total)
        self.total, self._others = total, True
        await self._connection.execute(_JOIN, [self._space, total * KEY])

    async def _acquire(self, count: int) -> bool:
        free = [lane for lane in range(self.total) if lane not in self._unavailable]
        # At random, so that relays that start together rarely want the same lane.
        wanted = random.sample(free, min(count, len(free)))
        if not wanted:
            return False
        cursor = await self._connection.execute(_ACQUIRE, [wanted, self._space, self.total * KEY])
        acquired = {int(lane) for (lane,) in await cursor.fetchall()}
        self.owned |= acquired
        return bool(acquired)

    async def _value(self, query: str) -> str:
        cursor = await self._connection.execute(query)
        row = await cursor.fetchone()
        if row is None:
            raise LookupError(_EMPTY)
        return str(row[0])
