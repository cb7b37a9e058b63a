"""Who relays what: each lane has one owner, through a session-level advisory lock.

The lock lives and dies with the relay's database session: no lease, no clock, no leader. Relays
find each other in `pg_locks` by a shared lock that each one holds (PostgreSQL, "Advisory Locks").

Invariant: no bucket has two owners, also while the number of lanes changes. The number is part of
every lock's key. A relay first says, by its shared lock, under which number it is here, and only
then looks for others: it takes lanes while it sees nobody under another number. Of two that come
under two numbers at once, at least one sees the other; and who owns lanes is seen until it has
given all of them up. A relay follows the number in the database, so that all come to the same.
"""

from __future__ import annotations

import random

from outbox.errors import LanesMismatch
from outbox.relay.log_reader import Connection

# The key's second half is the number of lanes and, below, 0 for presence or the lane plus one.
KEY = 65_536

# Of the log that this relay reads, whatever else its search path leads to.
_SPACE = """
SELECT hashtext('outbox lanes in ' || relnamespace::regnamespace) & 2147483647
  FROM pg_class WHERE oid = to_regclass('outbox')
"""
_LANES = "SELECT lanes FROM outbox_settings"
_JOIN = "SELECT pg_advisory_lock_shared(%s, %s)"
_LOOK = f"""
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
_TAKE = "SELECT lane FROM unnest(%s::int[]) AS lane WHERE pg_try_advisory_lock(%s, %s + lane + 1)"
_RELEASE = "SELECT pg_advisory_unlock(%s, %s + lane + 1) FROM unnest(%s::int[]) AS lane"
_EMPTY = "outbox_settings is empty: run the migrations"
# The session has no other locks.
_LEAVE = "SELECT pg_advisory_unlock_all()"


class Lanes:
    """The lanes that this relay's session owns, numbered from 0."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._space = 0
        self._expected: int | None = None
        self._wanted = 0
        self._taken: set[int] = set()
        self._others = True
        self._share = 0
        self.owned: frozenset[int] = frozenset()
        self.total = 0
        self.relays = 0

    async def join(self, expected: int | None = None) -> None:
        """Become visible to other relays. Raises `LanesMismatch` if set up for another number."""
        self._space = int(await self._value(_SPACE))
        self._expected = expected
        await self._join(int(await self._value(_LANES)))

    async def surplus(self) -> bool:
        """See who else is here and how many lanes; true if this relay owns more than its share.

        Raises `LanesMismatch` if the number is no longer the one that this relay is set up for.
        """
        cursor = await self._connection.execute(
            _LOOK, {"space": self._space, "ours": self.total * KEY}
        )
        row = await cursor.fetchone()
        if row is None or row[0] is None:
            raise LookupError(_EMPTY)
        self._wanted, pid, relays, taken, self._others = row
        self.relays, self._taken = max(len(relays), 1), set(taken)
        # The first few by their pid have one more, if it does not come out even.
        each, left = divmod(self.total, self.relays)
        self._share = each + (pid in relays[:left])
        return self._wanted != self.total or len(self.owned) > self._share

    async def release_surplus(self) -> None:
        """Hand over what is above the share; nothing of these lanes may be under way.

        If there is another number of lanes now, that is everything, and the relay begins anew.
        """
        if self._wanted != self.total:
            await self._connection.execute(_LEAVE)
            self.owned = frozenset()
            await self._join(self._wanted)
            return
        released = sorted(self.owned)[self._share :]
        await self._connection.execute(_RELEASE, [self._space, self.total * KEY, released])
        self.owned -= set(released)

    async def take_share(self) -> bool:
        """Take free lanes up to the share; true if any was taken.

        None while a relay is here under another number, or not seen to have gone.
        """
        missing = self._share - len(self.owned)
        return not self._others and missing > 0 and await self._take(missing, self._taken)

    async def _join(self, total: int) -> None:
        if self._expected is not None and self._expected != total:
            raise LanesMismatch(self._expected, total)
        self.total, self._others = total, True
        await self._connection.execute(_JOIN, [self._space, total * KEY])

    async def _take(self, count: int, taken: set[int]) -> bool:
        free = [lane for lane in range(self.total) if lane not in taken]
        # By chance, so that relays that start together rarely reach for the same lane.
        wanted = random.sample(free, min(count, len(free)))
        if not wanted:
            return False
        cursor = await self._connection.execute(_TAKE, [wanted, self._space, self.total * KEY])
        got = {int(lane) for (lane,) in await cursor.fetchall()}
        self.owned |= got
        return bool(got)

    async def _value(self, query: str) -> str:
        cursor = await self._connection.execute(query)
        row = await cursor.fetchone()
        if row is None:
            raise LookupError(_EMPTY)
        return str(row[0])
