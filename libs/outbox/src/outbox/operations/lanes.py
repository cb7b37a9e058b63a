"""Which relay owns which lane, as PostgreSQL sees it, and how many lanes there are."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from outbox.operations.database import Connection, fetch, value
from outbox.relay.lanes import KEY

# Advisory keys as `relay/lanes.py` makes them: key / KEY is the number of lanes; key % KEY is 0 for
# the relay's presence and n + 1 for lane n.
_RELAYS = f"""
SELECT l.pid, a.application_name AS name, a.client_addr::text AS address,
       a.backend_start AS since, max(l.objid::bigint / {KEY}) AS of,
       coalesce(array_agg(l.objid::bigint % {KEY} - 1 ORDER BY l.objid)
                  FILTER (WHERE l.objid::bigint % {KEY} > 0), '{{}}') AS lanes
  FROM pg_locks l LEFT JOIN pg_stat_activity a USING (pid)
 WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2
   AND l.classid = (
       SELECT (hashtext('outbox lanes in ' || relnamespace::regnamespace) & 2147483647)::bigint::oid
         FROM pg_class WHERE oid = to_regclass('outbox'))
   AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
 GROUP BY l.pid, a.application_name, a.client_addr, a.backend_start
 ORDER BY a.backend_start, l.pid
"""  # noqa: S608

_SET = "UPDATE outbox_settings SET lanes = %(lanes)s"


@dataclass(frozen=True, slots=True)
class RelaySession:
    """A relay's database session with the lanes it owns; a relay without lanes stands by.

    `of` is the number of lanes that it knows. After a change all relays learn the new number within
    seconds, and none acquires lanes before all have released the old ones.
    """

    pid: int
    name: str | None
    address: str | None
    since: datetime | None
    of: int
    lanes: list[int]


@dataclass(frozen=True, slots=True)
class LaneMap:
    """All lanes, numbered from 0."""

    total: int
    relays: list[RelaySession]

    @property
    def unowned(self) -> list[int]:
        """Lanes without an owner: their events are not published."""
        owned = {lane for relay in self.relays if relay.of == self.total for lane in relay.lanes}
        return [lane for lane in range(self.total) if lane not in owned]


async def set_lanes(connection: Connection, lanes: int) -> bool:
    """Set the number of lanes, 1 to 1024; running relays follow. False if there is no row."""
    return (await connection.execute(_SET, {"lanes": lanes})).rowcount == 1


async def lane_map(connection: Connection) -> LaneMap:
    """The number of lanes, and the relays that are connected now."""
    total = await value(connection, "SELECT lanes FROM outbox_settings")
    return LaneMap(total or 0, await fetch(connection, RelaySession, _RELAYS))
