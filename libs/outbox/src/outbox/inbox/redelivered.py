"""Events that were delivered before: perhaps a process died of one of them.

Invariant: before the handlers of a batch run, its redelivered events are noted, in one statement. A
note that is still there when its event comes again makes that event a suspect: a process died with
the whole batch in hand. A suspect has its handler run while the process has no other of this queue
in hand, so whoever is counted a second time is guilty.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from outbox.event import Envelope, Stream
from outbox.inbox.position import Connection, columns
from outbox.inbox.whole_keys import is_given, position_of

_EVENTS = """
unnest(%(sources)s::text[], %(types)s::text[], %(ids)s::text[], %(sequences)s::bigint[])
    AS s(source, aggregate_type, aggregate_id, sequence)
"""
_KEY = "source, aggregate_type, aggregate_id, sequence"

# No row is locked: who notes an event that another process has just applied removes the note again,
# as a duplicate. The order keeps two processes from waiting for each other.
_NOTE = f"""
WITH ahead AS MATERIALIZED (
  SELECT DISTINCT s.* FROM {_EVENTS} LEFT JOIN {position_of("s")} i ON true
   WHERE s.sequence > coalesce(i.last_sequence, 0) AND i.blocked IS NOT TRUE
), noted AS (
  INSERT INTO inbox_attempts (consumer, {_KEY}, attempts)
  SELECT %(consumer)s, {_KEY}, 1 FROM ahead ORDER BY {_KEY}
  ON CONFLICT DO NOTHING RETURNING {_KEY}
)
SELECT {_KEY} FROM ahead EXCEPT SELECT {_KEY} FROM noted
"""  # noqa: S608

_FORGET = f"""
DELETE FROM inbox_attempts a WHERE {is_given("a", sequence="%(sequences)s::bigint[]")}
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class Notes:
    """Notes of one consumer: which events are in hand together."""

    connection: Connection
    consumer: str

    async def note(self, events: Collection[Envelope]) -> set[Stream]:
        """Note those that have not taken effect; returns the streams of suspects.

        A suspect had a note before.
        """
        cursor = await self.connection.execute(_NOTE, self._values(events))
        return {Stream(*stream) for *stream, _ in await cursor.fetchall()}

    async def forget(self, events: Collection[Envelope]) -> None:
        """Their handlers have ended, or have not begun, and the process lives."""
        await self.connection.execute(_FORGET, self._values(events))

    def _values(self, events: Collection[Envelope]) -> dict[str, object]:
        sequences = [event.sequence for event in events]
        streams = columns([event.stream for event in events])
        return {"consumer": self.consumer, "sequences": sequences, **streams}


class Suspected(Exception):
    """The event was in hand when a process died: it is handled when nothing else is."""


@dataclass(slots=True, eq=False)
class InHand:
    """What one consumer's workers, retrier and prober have in hand in this process.

    A batch begins beside others. A suspect waits until they have ended, and they wait for it.
    """

    _beside: int = 0
    _alone: int = 0
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    _nothing: asyncio.Event = field(default_factory=asyncio.Event)
    _no_suspect: asyncio.Event = field(default_factory=asyncio.Event)

    @asynccontextmanager
    async def beside_others(self) -> AsyncIterator[None]:
        """Wait until no suspect is in hand or waits."""
        while self._alone:
            await self._no_suspect.wait()
        self._beside += 1
        self._nothing.clear()
        try:
            yield
        finally:
            self._beside -= 1
            if not self._beside:
                self._nothing.set()

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Wait until nothing else is in hand; nothing else begins until the block has ended."""
        self._alone += 1
        self._no_suspect.clear()
        try:
            async with self._turn:
                while self._beside:
                    await self._nothing.wait()
                yield
        finally:
            self._alone -= 1
            if not self._alone:
                self._no_suspect.set()
