"""Log entries without a log."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from outbox.log.row import OutboxRow


def entry(id_: int = 1, aggregate: str = "a", **fields: Any) -> OutboxRow:
    """An event `order.happened` of the source `shop`."""
    made = OutboxRow(
        id=id_,
        event_id=str(uuid4()).encode(),
        source=b"shop",
        aggregate_type=b"order",
        aggregate_id=aggregate.encode(),
        sequence=id_,
        type=b"order.happened",
        version=1,
        time=b"2026-01-31T12:00:00.123456+00:00",
        epoch=1769860800,
        payload=b'{"number": 1}',
        correlation_id=b"c-1",
        causation_id=None,
        traceparent=None,
        attempts=0,
    )
    return made._replace(**fields)
