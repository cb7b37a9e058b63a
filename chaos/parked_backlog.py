"""A backlog of parked events, as a bad release leaves it, without the hours that it would take.

And events that count as published and never arrive, as a broker leaves them that loses its data.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from chaos.scenario import KITCHEN, SHOP, WRITE, Environment, Event
from outbox import Outbox

AT_ONCE = 100
"""Streams in one statement."""
_PUBLISHED = "UPDATE outbox SET published_at = clock_timestamp() WHERE aggregate_id LIKE %s"
_WRITTEN = """
SELECT %s, source, aggregate_type, aggregate_id, sequence, event_id,
       CASE sequence WHEN 1 THEN 'failed' ELSE 'behind' END, type, version, created_at,
       convert_to(payload::text, 'UTF8'), correlation_id
  FROM outbox WHERE aggregate_id LIKE 'parked%%'
"""
_PARK = """
COPY inbox_parked (consumer, source, aggregate_type, aggregate_id, sequence, event_id, reason, type,
                   version, time, body, correlation_id) FROM STDIN
"""
_BLOCK = """
INSERT INTO inbox (consumer, source, aggregate_type, aggregate_id, blocked, parked)
SELECT consumer, source, aggregate_type, aggregate_id, true, count(*)
  FROM inbox_parked GROUP BY 1, 2, 3, 4
"""


def park(environment: Environment, streams: int, behind: int) -> None:
    """Write events that count as published, and park all of them. No process may run yet."""
    with environment.connect(SHOP) as shop, environment.connect(KITCHEN) as kitchen:
        write_published(shop, "parked", streams, behind)
        with kitchen.transaction(), kitchen.cursor() as cursor:
            with cursor.copy(_PARK) as copy:
                for row in _rows(shop):
                    copy.write_row(row)
            cursor.execute(_BLOCK)
        kitchen.execute("ANALYZE")


def write_published(shop: Any, prefix: str, streams: int, behind: int) -> None:
    """Write events that no relay will publish: streams of this prefix, with so many events each."""
    with shop.transaction():
        for first in range(0, streams, AT_ONCE):
            numbers = range(first, min(first + AT_ONCE, streams))
            _write(shop, [f"{prefix}{number}" for number in numbers], behind)
        shop.execute(_PUBLISHED, [f"{prefix}%"])


def _write(shop: Any, aggregates: list[str], behind: int) -> None:
    log = Outbox(SHOP.name)
    events = [Event("order", name, n + 1) for n in range(behind) for name in aggregates]
    with shop.cursor() as cursor:
        cursor.executemany(WRITE, [event.row for event in events])
        log.add_sync(shop, *events)


def _rows(shop: Any) -> Iterator[tuple[Any, ...]]:
    with shop.transaction(), shop.cursor("backlog") as cursor:
        yield from cursor.execute(_WRITTEN, [KITCHEN.queue])
