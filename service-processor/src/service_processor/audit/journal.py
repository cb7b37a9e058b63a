"""The lines, and the place kept for the next one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import structlog
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from outbox import StreamedEvent
from service_processor.audit.models import audit_positions

log = structlog.get_logger("audit")


class Journal:
    """Writes what comes, and remembers up to where."""

    def __init__(self, engine: AsyncEngine, stream: str) -> None:
        self._engine = engine
        self._stream = stream

    async def place(self) -> int | str:
        """The offset that comes next; at the beginning, all that the stream has."""
        async with self._engine.connect() as connection:
            found = await connection.execute(
                select(audit_positions.c.next_offset).where(
                    audit_positions.c.stream == self._stream
                )
            )
            offset: int | None = found.scalar_one_or_none()
        return "first" if offset is None else offset

    async def write(self, events: Sequence[StreamedEvent]) -> None:
        """A line for each, then the place after the last."""
        for event in events:
            log.info("audit", **line_of(event))
        facts = {"next_offset": events[-1].offset + 1, "updated_at": func.now()}
        kept = insert(audit_positions).values(stream=self._stream, **facts)
        async with self._engine.begin() as connection:
            await connection.execute(
                kept.on_conflict_do_update(index_elements=["stream"], set_=facts)
            )


def line_of(event: StreamedEvent) -> dict[str, Any]:
    """What a line says. The body is there as it crossed the broker, if it is JSON."""
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
        "data": _body(envelope.payload),
    }


def _body(payload: bytes) -> Any:
    try:
        return json.loads(payload)
    except ValueError:
        return None
