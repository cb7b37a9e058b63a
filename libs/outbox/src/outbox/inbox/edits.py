"""Another body for a parked event; the one that it came with is kept.

Invariant: id, type, stream and sequence stay, so the event is still the one that its producer sent
as far as order and duplicates are concerned. The stream is locked.
"""

from __future__ import annotations

from dataclasses import dataclass

from outbox.event import Stream
from outbox.inbox.parked_rows import ParkedEvent
from outbox.inbox.position import Connection

EDITED = "edited"
"""The reason in `inbox_discarded` of a body that an operator has replaced."""

_EVENT = """
consumer = %(consumer)s AND source = %(source)s AND aggregate_type = %(aggregate_type)s
AND aggregate_id = %(aggregate_id)s AND sequence = %(sequence)s AND event_id = %(event_id)s
"""
_KEEP = f"""
INSERT INTO inbox_discarded (consumer, source, aggregate_type, aggregate_id, first_sequence,
                             last_sequence, event_id, reason, type, body, attempts, last_error,
                             last_traceback, cause, fingerprint, failed_at, failed_with,
                             parked_at, note)
SELECT consumer, source, aggregate_type, aggregate_id, sequence, sequence, event_id, '{EDITED}',
       type, body, attempts, last_error, last_traceback, cause, fingerprint, failed_at,
       failed_with, parked_at, %(note)s
  FROM inbox_parked WHERE {_EVENT}
"""  # noqa: S608
_REPLACE = f"UPDATE inbox_parked SET body = %(body)s WHERE {_EVENT}"  # noqa: S608


@dataclass(frozen=True, slots=True)
class Edits:
    """Replaces bodies of one consumer's parked events."""

    connection: Connection
    consumer: str

    async def replace(self, event: ParkedEvent, body: bytes, note: str) -> None:
        """Give the event another body, and keep the event as it was in `inbox_discarded`."""
        stream: Stream = event.stream
        key = {
            "consumer": self.consumer,
            "source": stream.source,
            "aggregate_type": stream.aggregate_type,
            "aggregate_id": stream.aggregate_id,
            "sequence": event.sequence,
            "event_id": event.event_id,
        }
        await self.connection.execute(_KEEP, {**key, "note": note})
        await self.connection.execute(_REPLACE, {**key, "body": body})
