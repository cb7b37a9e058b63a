"""Who relays what: each lane has one owner, through a session-level advisory lock.

The lock lives and dies with the relay's database session: no lease, no clock, no leader. Relays
find each other in `pg_locks` by a shared lock that each one holds (PostgreSQL, "Advisory Locks").
"""

from __future__ import annotations

import random
from math import ceil

from outbox.errors import LanesMismatch
from outbox.relay.log import Connection

_PRESENCE = 0

_SPACE = "SELECT hashtext('outbox lanes in ' || current_schema()) & 2147483647"
_LANES = "SELECT lanes FROM outbox_settings"
_JOIN = "SELECT pg_advisory_lock_shared(%s, %s)"
_RELAYS_AND_TAKEN = """
SELECT count(DISTINCT pid) FILTER (WHERE objid = 0),
       coalesce(array_agg(objid::bigint) FILTER (WHERE objid > 0), '{}')
  FROM pg_locks
 WHERE locktype = 'advisory' AND granted AND classid = %s::bigint::oid AND objsubid = 2
   AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
_TAKE = "SELECT lane FROM unnest(%s::int[]) AS lane WHERE pg_try_advisory_lock(%s, lane + 1)"
_RELEASE = "SELECT pg_advisory_unlock(%s, lane + 1) FROM unnest(%s::int[]) AS lane"


class Lanes:
    """The lanes that this relay's session owns, numbered from 0."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._space = 0
        self._taken: set[int] = set()
        self.owned: frozenset[int] = frozenset()
        self.total = 0
        self.relays = 0

    async def join(self, expected: int | None = None) -> None:
        """Become visible to other relays. Raises `LanesMismatch` if set up for another number."""
        self.total = int(await self._value(_LANES))
        if expected is not None and expected != self.total:
            raise LanesMismatch(expected, self.total)
        self._space = int(await self._value(_SPACE))
        await self._connection.execute(_JOIN, [self._space, _PRESENCE])

    async def surplus(self) -> bool:
        """See who else is here; true if this relay owns more than its share."""
        cursor = await self._connection.execute(_RELAYS_AND_TAKEN, [self._space])
        relays, taken = await cursor.fetchone() or (1, [])
        self.relays = int(relays)
        self._taken = {int(objid) - 1 for objid in taken}
        return len(self.owned) > self._share

    async def release_surplus(self) -> None:
        """Hand over what is above the share; nothing of these lanes may be under way."""
        released = sorted(self.owned)[self._share :]
        await self._connection.execute(_RELEASE, [self._space, released])
        self.owned -= set(released)

    async def take_share(self) -> bool:
        """Take free lanes up to the share; true if any was taken."""
        missing = self._share - len(self.owned)
        return missing > 0 and await self._take(missing, self._taken)

    @property
    def _share(self) -> int:
        return ceil(self.total / max(self.relays, 1))

    async def _take(self, count: int, taken: set[int]) -> bool:
        free = [lane for lane in range(self.total) if lane not in taken]
        # By chance, so that relays that start together rarely reach for the same lane.
        wanted = random.sample(free, min(count, len(free)))
        if not wanted:
            return False
        cursor = await self._connection.execute(_TAKE, [wanted, self._space])
        got = {int(lane) for (lane,) in await cursor.fetchall()}
        self.owned |= got
        return bool(got)

    async def _value(self, query: str) -> str:
        cursor = await self._connection.execute(query)
        row = await cursor.fetchone()
        if row is None:
            raise LookupError("outbox_settings is empty: run the migrations")
        return str(row[0])
