"""The table `inbox_beacons`: how far the beacons of a source and aggregate type have come.

Invariant: without a hole, everything that was published until `until` has been told here. A hole
is open from the loss of a beacon until a whole round tells everything since then.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import class_row

from outbox.inbox.position import Connection
from outbox.rabbitmq.beacons import Beacon
from outbox.resend_events import BeaconsMissed

_KEY = "consumer = %(consumer)s AND source = %(source)s AND aggregate_type = %(aggregate_type)s"
_BEGIN = """
INSERT INTO inbox_beacons (consumer, source, aggregate_type, number, until, is_whole)
SELECT %(consumer)s, s.*, 0, clock_timestamp(), true
  FROM unnest(%(sources)s::text[], %(types)s::text[]) AS s(source, aggregate_type)
 ORDER BY s.source, s.aggregate_type
ON CONFLICT DO NOTHING
"""
_LOCK = f"""
SELECT number, until, is_whole, hole_since FROM inbox_beacons WHERE {_KEY} FOR UPDATE
"""  # noqa: S608
# A hole that was open before keeps its clock. A producer's clock may be ahead: a time in the future
# would hide what is lost until then.
_STORE = """
INSERT INTO inbox_beacons AS b (consumer, source, aggregate_type, number, until, is_whole)
VALUES (%(consumer)s, %(source)s, %(aggregate_type)s, %(number)s,
        least(%(until)s, clock_timestamp()), %(is_whole)s)
ON CONFLICT (consumer, source, aggregate_type) DO UPDATE
   SET number = excluded.number, until = excluded.until, is_whole = excluded.is_whole,
       hole_since = %(hole_since)s,
       noticed_at = CASE WHEN %(is_open)s THEN coalesce(b.noticed_at, clock_timestamp()) END,
       asks = CASE WHEN %(is_open)s THEN b.asks ELSE 0 END,
       next_ask_at = CASE WHEN %(is_open)s
                          THEN coalesce(b.next_ask_at,
                                        clock_timestamp() + make_interval(secs => %(after)s)) END
"""
# The first wait doubles with each time it was asked for in vain.
_ASK = """
UPDATE inbox_beacons b
   SET asks = b.asks + 1, next_ask_at = clock_timestamp()
         + make_interval(secs => least(%(first)s * 2.0 ^ least(b.asks, 30), %(ceiling)s))
 WHERE consumer = %(consumer)s AND source = %(source)s AND next_ask_at <= clock_timestamp()
RETURNING aggregate_type, hole_since
"""
_GIVE_UP = """
UPDATE inbox_beacons SET hole_since = NULL, noticed_at = NULL, asks = 0, next_ask_at = NULL
 WHERE consumer = %(consumer)s AND noticed_at < clock_timestamp() - make_interval(secs => %(kept)s)
RETURNING source, aggregate_type
"""
_HOLES = """
SELECT consumer, source, aggregate_type, hole_since, noticed_at AS since, asks FROM inbox_beacons
 WHERE hole_since IS NOT NULL AND (%(consumer)s::text IS NULL OR consumer = %(consumer)s)
 ORDER BY consumer, source, aggregate_type
"""


@dataclass(frozen=True, slots=True)
class BeaconHole:
    """Beacons are lost, so what was published since `hole_since` may be missing unnoticed."""

    consumer: str
    source: str
    aggregate_type: str
    hole_since: datetime
    since: datetime
    asks: int


@dataclass(frozen=True, slots=True)
class BeaconChain:
    """What the beacons of one source and aggregate type have told; `after` is pure.

    While none was heard its number is 0, and `until` is when the consumer began.
    """

    number: int
    until: datetime
    is_whole: bool
    """Whether none is missing of the round that goes on, or a new round comes next."""
    hole_since: datetime | None

    @classmethod
    def of(cls, first: Beacon, *, begun: datetime) -> BeaconChain:
        """The first beacon that was heard; the consumer has `begun` before.

        If it is not the first of its source, those before it may have been lost: what was published
        since the consumer began has to be told.
        """
        hole = None if first.number == 1 else begun
        return cls(first.number, first.until, first.ends_round, hole)

    def misses(self, beacon: Beacon) -> bool:
        """Whether beacons before this one have not come."""
        return beacon.number > self.number + 1 and self.number > 0

    def after(self, beacon: Beacon) -> BeaconChain:
        """The chain with one more beacon.

        One that came before changes nothing. An earlier number with a later time is that of a
        producer that was restored from an older state.
        """
        if not self.number:
            return self.of(beacon, begun=self.until)
        if beacon.number <= self.number and beacon.until <= self.until:
            return self
        follows = beacon.number == self.number + 1
        is_whole, hole = follows and self.is_whole, self.hole_since
        if not follows:
            hole = self.until if hole is None else min(hole, self.until)
        elif hole is not None and is_whole and beacon.ends_round and beacon.since <= hole:
            # A long time is told in several rounds.
            hole = None if beacon.until >= self.until else max(hole, beacon.until)
        until = max(self.until, beacon.until)
        return BeaconChain(beacon.number, until, is_whole or beacon.ends_round, hole)


@dataclass(frozen=True, slots=True)
class BeaconChains:
    """The chains of one consumer, in one transaction; for questions, of all consumers."""

    connection: Connection
    consumer: str | None = None

    async def begin(self, kinds: Collection[tuple[str, str]]) -> None:
        """From now on beacons of these sources and aggregate types are missed if they are lost.

        Where it has begun before, nothing changes.
        """
        values = {
            "consumer": self.consumer,
            "sources": [source for source, _ in kinds],
            "types": [aggregate_type for _, aggregate_type in kinds],
        }
        await self.connection.execute(_BEGIN, values)

    async def lock(self, source: str, aggregate_type: str) -> BeaconChain | None:
        """The chain of a source and aggregate type, if the consumer has begun."""
        cursor = self.connection.cursor(row_factory=class_row(BeaconChain))
        await cursor.execute(_LOCK, self._key(source, aggregate_type))
        return await cursor.fetchone()

    async def store(self, beacon: Beacon, chain: BeaconChain, *, after: float) -> None:
        """Store the chain with this beacon. A new hole may be asked for `after` seconds."""
        values = {
            **self._key(beacon.source, beacon.aggregate_type),
            "number": chain.number,
            "until": chain.until,
            "is_whole": chain.is_whole,
            "hole_since": chain.hole_since,
            "is_open": chain.hole_since is not None,
            "after": after,
        }
        await self.connection.execute(_STORE, values)

    async def ask(self, source: str, *, first: float, ceiling: float) -> list[BeaconsMissed]:
        """The holes of a source that are due; each is due again after `first` seconds."""
        values = {"consumer": self.consumer, "source": source, "first": first, "ceiling": ceiling}
        cursor = await self.connection.execute(_ASK, values)
        return [BeaconsMissed(*row) for row in await cursor.fetchall()]

    async def give_up(self, *, kept: float) -> list[tuple[str, str]]:
        """Forget holes that are older; returns their sources and aggregate types."""
        values = {"consumer": self.consumer, "kept": kept}
        cursor = await self.connection.execute(_GIVE_UP, values)
        return await cursor.fetchall()

    async def holes(self) -> list[BeaconHole]:
        """The holes that are open."""
        cursor = self.connection.cursor(row_factory=class_row(BeaconHole))
        return await (await cursor.execute(_HOLES, {"consumer": self.consumer})).fetchall()

    def _key(self, source: str, aggregate_type: str) -> dict[str, object]:
        return {"consumer": self.consumer, "source": source, "aggregate_type": aggregate_type}
