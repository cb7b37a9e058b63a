"""How far a consumer has come in each stream: the decision about a delivery, and the locked rows.

Invariant: a decision needs nothing but the position. The rows of a batch are locked in the order
of their keys, and only the transaction that locked them stores them.

One file, because it locks, stores and reads positions; what operators ask of them comes last.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self
from uuid import UUID

import psycopg

from outbox.errors import TransactionEnded
from outbox.event import Envelope, Stream
from outbox.inbox.whole_keys import is_given, stream_is
from outbox.log.deferred import Statement
from outbox.log.guard import pipelined
from outbox.log.operator_queries import STREAM_ORDER
from outbox.postgres.array_literals import plain_array, text_array

Connection = psycopg.AsyncConnection[Any]

LOCK_TIMEOUT = 5.0
"""Seconds that a transaction of the inbox waits for any lock before it gives way."""
LOCK_SOON = 0.1
"""Seconds that a batch waits for another process that has one of its streams in hand."""
TRANSACTION_TIMEOUT = 90.0
"""Seconds after which PostgreSQL ends a transaction of the inbox, and its connection with it."""


class StreamsLocked(Exception):
    """Another transaction has one of the streams in hand for longer than a moment."""


class Decision(StrEnum):
    """The ways in which the inbox can treat an event."""

    APPLY = "apply"
    DUPLICATE = "duplicate"
    BEHIND = "behind"
    """An earlier event of the stream waits for its retry; this one waits behind it."""
    GAP = "gap"
    """An earlier event has not arrived yet; this one waits until it has."""
    FORKED = "forked"
    """Another event had this sequence: the producer was restored from an older state."""

    @property
    def parks(self) -> bool:
        """Whether the event is kept for later."""
        return self in (Decision.BEHIND, Decision.GAP, Decision.FORKED)


@dataclass(slots=True)
class Position:
    """How far a consumer has come in one stream: a locked row of the inbox."""

    last_sequence: int
    last_event_id: UUID | None
    blocked: bool
    parked: int

    def decide(self, sequence: int, event_id: UUID) -> Decision:
        """Decide about a delivery with this sequence and id."""
        if sequence == self.last_sequence and event_id != self.last_event_id:
            return Decision.FORKED if self.last_event_id else Decision.DUPLICATE
        if sequence <= self.last_sequence:
            return Decision.DUPLICATE
        if self.blocked:
            return Decision.BEHIND
        return Decision.APPLY if sequence == self.last_sequence + 1 else Decision.GAP

    def advance(self, sequence: int, event_id: UUID) -> None:
        """The event at this sequence has taken effect."""
        self.last_sequence, self.last_event_id = sequence, event_id


_STREAMS = """
SELECT DISTINCT * FROM unnest(%(sources)s::text[], %(types)s::text[], %(ids)s::text[])
    AS s(source, aggregate_type, aggregate_id)
 ORDER BY source, aggregate_type, aggregate_id
"""

_CREATE = f"""
INSERT INTO inbox (consumer, source, aggregate_type, aggregate_id)
SELECT %(consumer)s, s.* FROM ({_STREAMS}) s
ON CONFLICT DO NOTHING
"""  # noqa: S608

# A second statement: its snapshot is newer than the wait for the locks of the first. LATERAL names
# the whole key for each stream (decision 1660).
_LOCK = f"""
SELECT source, aggregate_type, aggregate_id, last_sequence, last_event_id, blocked, parked
  FROM ({_STREAMS}) s CROSS JOIN LATERAL (
    SELECT last_sequence, last_event_id, blocked, parked FROM inbox i
     WHERE {stream_is("i", "s")} FOR UPDATE{{}}
  ) i
"""  # noqa: S608
_LOCK_ALL, _LOCK_FREE = _LOCK.format(""), _LOCK.format(" SKIP LOCKED")
_LIMIT_WAITS = "SELECT set_config('lock_timeout', %s, true)"

# The limit on the whole transaction replaces PostgreSQL's limit on an idle one: psycopg ends a
# pipeline with a Flush after its Sync, and the Flush switches the limit on an idle one off.
_BEGIN = """
SELECT set_config('lock_timeout', %s, true), set_config('transaction_timeout', %s, true),
       pg_current_xact_id()::text
"""

_ANOTHER = "another transaction"

# Too few rows are no error by themselves. The cast makes them one, so that COMMIT, which follows in
# the same round trip, commits nothing. The rows are there: ON CONFLICT finds each by its whole key.
_STORE = f"""
WITH stored AS (
  INSERT INTO inbox (consumer, source, aggregate_type, aggregate_id,
                     last_sequence, last_event_id, blocked, parked)
  SELECT %(consumer)s, s.* FROM unnest(
    %(sources)s::text[], %(types)s::text[], %(ids)s::text[], %(last_sequences)s::bigint[],
    %(last_event_ids)s::uuid[], %(blocked)s::boolean[], %(parked)s::int[]) s
   WHERE pg_current_xact_id() = %(transaction_id)s::xid8
  ON CONFLICT (consumer, source, aggregate_type, aggregate_id)
  DO UPDATE SET last_sequence = excluded.last_sequence, last_event_id = excluded.last_event_id,
                blocked = excluded.blocked, parked = excluded.parked
  RETURNING 1
)
SELECT CASE WHEN count(*) <> %(streams)s THEN ('{_ANOTHER}: ' || count(*))::int END FROM stored
"""  # noqa: S608

# A count that is still there when its event comes again means that a process died in between.
_COUNT_ATTEMPT = """
INSERT INTO inbox_attempts AS a (consumer, source, aggregate_type, aggregate_id, sequence, attempts)
VALUES (%(consumer)s, %(source)s, %(aggregate_type)s, %(aggregate_id)s, %(sequence)s, 1)
ON CONFLICT (consumer, source, aggregate_type, aggregate_id, sequence)
DO UPDATE SET attempts = greatest(a.attempts - %(survived)s, 0) + 1, last_at = clock_timestamp()
RETURNING attempts
"""

_FORGET_ATTEMPTS = """
DELETE FROM inbox_attempts
 WHERE consumer = %(consumer)s AND source = %(source)s AND aggregate_type = %(aggregate_type)s
   AND aggregate_id = %(aggregate_id)s AND sequence = %(sequence)s
"""

# Here, too, each row is found by its whole key.
_LAST_OF_ATTEMPTED = f"""
(SELECT last_sequence FROM inbox i WHERE {stream_is("i", "a", "a.consumer")})
"""  # noqa: S608
_FORGET_ATTEMPTS_OF_NEXT = f"""
DELETE FROM inbox_attempts a WHERE {is_given("a")} AND a.sequence = {_LAST_OF_ATTEMPTED} + 1
"""  # noqa: S608

_FORGET_PASSED_ATTEMPTS = f"""
DELETE FROM inbox_attempts a WHERE consumer = %s AND sequence <= {_LAST_OF_ATTEMPTED}
"""  # noqa: S608


class LockedPositions(dict[Stream, Position]):
    """Positions of one consumer whose rows are locked until the transaction ends."""

    def __init__(self, connection: Connection, consumer: str) -> None:
        super().__init__()
        self._connection = connection
        self._consumer = consumer
        self._transaction_id = ""

    @classmethod
    async def lock(
        cls,
        connection: Connection,
        consumer: str,
        streams: Iterable[Stream],
        *,
        lock_timeout: float = LOCK_TIMEOUT,
        transaction_timeout: float = TRANSACTION_TIMEOUT,
        within: float | None = None,
        new: Iterable[Stream] | None = None,
    ) -> Self:
        """Lock the rows of these streams, creating missing ones, in one round trip.

        Nothing in this transaction waits for a lock longer than `lock_timeout` seconds. After
        `transaction_timeout` seconds the server ends it, whatever its client does. `within` is how
        long to wait for these rows, if less; then it raises `StreamsLocked`. With `new` only these
        are created, and rows that others have locked are left out.
        """
        locked = cls(connection, consumer)
        parameters = {"consumer": consumer, **columns(streams)}
        created = parameters if new is None else {"consumer": consumer, **columns(new)}
        try:
            async with pipelined(connection):
                limits = _ms(lock_timeout if within is None else within, transaction_timeout)
                begun = await connection.execute(_BEGIN, limits)
                await connection.execute(_CREATE, created)
                found = await connection.execute(
                    _LOCK_ALL if new is None else _LOCK_FREE, parameters
                )
                if within is not None:
                    await connection.execute(_LIMIT_WAITS, _ms(lock_timeout))
        except psycopg.errors.LockNotAvailable:
            if within is None:
                raise
            raise StreamsLocked from None
        for source, kind, id_, *rest in await found.fetchall():
            locked[Stream(source, kind, id_)] = Position(*rest)
        [(*_, locked._transaction_id)] = await begun.fetchall()
        return locked

    def decide(self, event: Envelope) -> Decision:
        """Decide about a delivery."""
        return self[event.stream].decide(event.sequence, event.id)

    def is_next(self, event: Envelope) -> bool:
        """Whether the event has the next sequence of its stream."""
        return self[event.stream].last_sequence + 1 == event.sequence

    async def count_attempt(self, event: Envelope, *, survived: int = 0) -> int:
        """Count an attempt to handle an event; returns how many there have been with this one.

        `survived` attempts before it did not kill their process and are subtracted.
        """
        parameters = {**self._key(event), "survived": survived}
        cursor = await self._connection.execute(_COUNT_ATTEMPT, parameters)
        row = await cursor.fetchone()
        assert row is not None
        return int(row[0])

    async def forget_attempts(self, event: Envelope) -> None:
        """The event's handler has ended, and the process lives."""
        await self._connection.execute(_FORGET_ATTEMPTS, self._key(event))

    def forgetting_attempts(self, event: Envelope) -> Statement:
        """The statement that does it."""
        return _FORGET_ATTEMPTS, self._key(event)

    async def forget_attempts_of_next(self, streams: Iterable[Stream]) -> None:
        """Forget the attempts at the next event of each of these streams."""
        parameters = {"consumer": self._consumer, **columns(streams)}
        await self._connection.execute(_FORGET_ATTEMPTS_OF_NEXT, parameters)

    async def store(self) -> None:
        """Write the positions back.

        Raises `TransactionEnded` if this is another transaction than the one that locked them: it
        would commit its effects without the positions of those before.
        """
        with self.stored_here():
            await self._connection.execute(*self.storing())

    def storing(self) -> Statement:
        """The statement that writes them back; it fails in another transaction."""
        values = self.values()
        return _STORE, {
            "consumer": self._consumer,
            "transaction_id": self._transaction_id,
            "streams": len(values),
            **columns(self),
            "last_sequences": plain_array(position.last_sequence for position in values),
            "last_event_ids": plain_array(position.last_event_id for position in values),
            "blocked": plain_array(position.blocked for position in values),
            "parked": plain_array(position.parked for position in values),
        }

    @contextmanager
    def stored_here(self) -> Iterator[None]:
        """Raises `TransactionEnded` where `storing` ran in another transaction."""
        try:
            yield
        except psycopg.errors.InvalidTextRepresentation as problem:
            if _ANOTHER not in str(problem):
                raise
            raise TransactionEnded("ended it", may_be_committed=True) from problem

    def _key(self, event: Envelope) -> dict[str, object]:
        stream = event.stream
        return {
            "consumer": self._consumer,
            "source": stream.source,
            "aggregate_type": stream.aggregate_type,
            "aggregate_id": stream.aggregate_id,
            "sequence": event.sequence,
        }


def _ms(*seconds: float) -> list[str]:
    return [f"{each * 1000:.0f}ms" for each in seconds]


async def forget_passed_attempts(connection: Connection, *, consumer: str) -> None:
    """Forget the counts of events that their streams have passed, as by a discard."""
    await connection.execute(_FORGET_PASSED_ATTEMPTS, [consumer])


def columns(streams: Iterable[Stream]) -> dict[str, str]:
    """Parameters for `unnest`."""
    listed = list(streams)
    return {
        "sources": text_array(stream.source for stream in listed),
        "types": text_array(stream.aggregate_type for stream in listed),
        "ids": text_array(stream.aggregate_id for stream in listed),
    }


CONSUMERS = """
SELECT consumer, count(*) AS streams, count(*) FILTER (WHERE blocked) AS blocked
  FROM inbox GROUP BY consumer ORDER BY consumer
"""
"""The consumers with the number of their streams, and of those that are blocked."""

CONSUMER_NAMES = """
WITH RECURSIVE names(name) AS (
  SELECT min(consumer) FROM inbox
  UNION ALL
  SELECT (SELECT min(consumer) FROM inbox WHERE consumer > name) FROM names WHERE name IS NOT NULL
)
SELECT name FROM names WHERE name IS NOT NULL ORDER BY name
"""
"""The consumers alone: one step in the index for each, however many streams there are."""


_KINDS = """
WITH RECURSIVE kinds(consumer, source, aggregate_type) AS (
  (SELECT consumer, source, aggregate_type FROM inbox ORDER BY 1, 2, 3 LIMIT 1)
  UNION ALL
  SELECT n.* FROM kinds k CROSS JOIN LATERAL (
    SELECT consumer, source, aggregate_type FROM inbox i
     WHERE (i.consumer, i.source, i.aggregate_type) > (k.consumer, k.source, k.aggregate_type)
     ORDER BY 1, 2, 3 LIMIT 1) n
)
"""
CONSUMED_KINDS = f"{_KINDS} SELECT consumer, source, aggregate_type FROM kinds"  # noqa: S608
"""The sources and aggregate types that each consumer has received, by steps in the index."""

STREAMS_WITH_ID = f"""
{_KINDS}
SELECT DISTINCT source, aggregate_type FROM kinds k
 WHERE EXISTS (SELECT FROM inbox i
                WHERE (i.consumer, i.source, i.aggregate_type, i.aggregate_id)
                    = (k.consumer, k.source, k.aggregate_type, %(id)s))
"""  # noqa: S608
"""The streams of an aggregate's id, of whatever source and type."""


APPLIED_STREAMS = f"""
SELECT source, aggregate_type, aggregate_id, last_sequence FROM inbox
 WHERE consumer = %(consumer)s AND (source, aggregate_type) IN
       (SELECT * FROM unnest(%(sources)s::text[], %(types)s::text[])) {STREAM_ORDER}
"""  # noqa: S608
"""How far a consumer has come in the streams of some sources and aggregate types."""


POSITIONS = f"""
SELECT c.name AS consumer, last_sequence, last_event_id, blocked, parked
  FROM ({CONSUMER_NAMES}) c JOIN inbox
       ON (consumer, source, aggregate_type, aggregate_id)
        = (c.name, %(source)s, %(kind)s, %(aggregate)s)
 ORDER BY consumer
"""  # noqa: S608
"""How far each consumer has come in one stream, and how many events of it are parked."""
