"""Writes the lines, and stores the position of the next one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import structlog
from pydantic_core import from_json
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from outbox.rabbitmq import stream_reader
from service_processor.audit.models import audit_positions
from servicekit.observe import logs

logger = structlog.get_logger()

MAX_DATA, MAX_BEGIN = 8_192, 1_024
LINGER = 0.25
"""Seconds that events are gathered for one batch, which stores the position once."""


class PositionMoved(ConnectionError):
    """Another process has written from this position; read again, as after a lost connection."""

    def __init__(self, stream: str) -> None:
        super().__init__(f"another process has moved the position in {stream}")


class Journal:
    """Writes a line per event, and stores the position after the last one.

    Two concurrent writers would write each line twice, so a leader writes alone. If there are two
    nevertheless, one finds the position moved and continues behind the other.
    """

    def __init__(self, engine: AsyncEngine, stream: str) -> None:
        # Each statement is a transaction: one round trip instead of three for each batch.
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._stream = stream
        self._head: stream_reader.StreamedEvent | None = None
        self._kept: int | None = None

    async def position(self, ends: stream_reader.StreamBounds) -> int | str:
        """The next offset; `first` for a stream queue that was not seen before."""
        async with self._engine.connect() as connection:
            wanted = select(audit_positions).where(audit_positions.c.stream == self._stream)
            row = (await connection.execute(wanted)).one_or_none()
        self._head, self._kept = None, row.next_offset if row else None
        if row is None:
            return "first"
        found = await ends.oldest()
        if not _is_same(found, row.head_offset, row.head_event_id):
            logger.warning("audit_stream_began_anew", stream=self._stream, was_at=row.next_offset)
            return "first"
        self._head = found
        next_offset: int = row.next_offset
        return next_offset

    async def write(self, events: Sequence[stream_reader.StreamedEvent]) -> None:
        """Write a line for each event, then store the position after the last one."""
        # Not filtered by LOG_LEVEL: the position moves with each line.
        logs.write_all("audit", map(line_of, events))
        self._head = self._head or events[0]
        await self._keep(events[-1].offset + 1, self._head)

    async def _keep(self, next_offset: int, head: stream_reader.StreamedEvent) -> None:
        facts = {
            "next_offset": next_offset,
            "head_offset": head.offset,
            "head_event_id": _id_of(head),
            "updated_at": func.now(),
        }
        moving = (
            insert(audit_positions)
            .values(stream=self._stream, **facts)
            .on_conflict_do_update(
                index_elements=["stream"],
                set_=facts,
                where=audit_positions.c.next_offset == self._kept,  # see decision 0851
            )
            .returning(audit_positions.c.next_offset)
        )
        async with self._engine.connect() as connection:
            if (await connection.execute(moving)).one_or_none() is None:
                raise PositionMoved(self._stream)
        self._kept = next_offset


def _is_same(head: stream_reader.StreamedEvent, offset: int, event_id: UUID | None) -> bool:
    """Old messages expire, but a stream queue never gets older messages than it had.

    See decision 0606.
    """
    return head.offset > offset or (head.offset == offset and _id_of(head) == event_id)


def _id_of(event: stream_reader.StreamedEvent) -> UUID | None:
    return event.envelope.id if event.envelope else None


def line_of(event: stream_reader.StreamedEvent) -> dict[str, Any]:
    """The fields of a line, with the body if it is JSON and not large."""
    if event.envelope is None:
        return {"offset": event.offset, "readable": False}
    envelope = event.envelope
    return {
        "offset": event.offset,
        "event_id": str(envelope.id),
        "type": envelope.type,
        "source": envelope.stream.source,
        "aggregate_type": envelope.stream.aggregate_type,
        "aggregate_id": envelope.stream.aggregate_id,
        "sequence": envelope.sequence,
        "time": envelope.time.isoformat(),
        "correlation_id": envelope.correlation_id,
        "causation_id": envelope.causation_id,
        **_data(envelope.payload),
    }


def _data(payload: bytes) -> dict[str, Any]:
    """The body, or the beginning of a large one: the stream queue has it whole."""
    if len(payload) <= MAX_DATA:
        return {"data": _body(payload)}
    begins = payload[:MAX_BEGIN].decode(errors="replace")
    return {"data": None, "bytes": len(payload), "begins": begins}


def _body(payload: bytes) -> Any:
    """None for what is not JSON: half a surrogate pair, NaN and too deep a body are not, either."""
    try:
        return from_json(payload, allow_inf_nan=False)
    except ValueError:
        return None
