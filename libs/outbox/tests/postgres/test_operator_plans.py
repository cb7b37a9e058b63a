"""What operators read page by page is read by indexes, however much there is."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from uuid import UUID

import pytest

from kit.outbox.world import QUEUE, SOURCE, World
from outbox.inbox import parked_queries, position
from outbox.inbox.parked_selection import EVERYTHING
from outbox.log import operator_queries as sql
from outbox.log.row import bucket_of
from outbox.operations.replay import Selection

FILL = """
INSERT INTO inbox (consumer, source, aggregate_type, aggregate_id, last_sequence, blocked, parked)
SELECT 'kitchen.orders', 'shop', 'order', n::text, 5, true, 2 FROM generate_series(1, 20000) n;
INSERT INTO inbox_parked (consumer, source, aggregate_type, aggregate_id, sequence, event_id,
                          reason, type, version, time, body, correlation_id)
SELECT 'kitchen.orders', 'shop', 'order', n::text, s, gen_random_uuid(), 'failed',
       'order.happened', 1, now(), '{}', 'c'
  FROM generate_series(1, 20000) n, generate_series(6, 7) s;
INSERT INTO outbox_streams SELECT 'shop', 'order', n::text, 3 FROM generate_series(1, 20000) n;
INSERT INTO outbox (event_id, bucket, source, aggregate_type, aggregate_id, sequence, type, version,
                    payload, correlation_id, published_at)
SELECT gen_random_uuid(), n % 1024, 'shop', 'order', n::text, s, 'order.happened', 1, '{}', 'c',
       CASE WHEN n % 1000 > 0 THEN now() END
  FROM generate_series(1, 20000) n, generate_series(1, 3) s;
INSERT INTO outbox_scheduled
SELECT 'shop', n::text, now() + n * interval '1 s', gen_random_uuid(), 1, 'order', n::text,
       'order.happened', 1, '{}', 'c' FROM generate_series(1, 20000) n;
ANALYZE inbox; ANALYZE inbox_parked; ANALYZE outbox; ANALYZE outbox_streams;
ANALYZE outbox_scheduled
"""
STREAM = {"source": SOURCE, "aggregate_type": "order", "aggregate_id": "777"}
REPLAYED, REPLAY_OF = Selection(aggregate=("order", "777")).where()
QUESTIONS: dict[str, tuple[str, dict[str, object]]] = {
    "a page of parked events": (
        parked_queries._PAGE,
        {
            **EVERYTHING.parameters(),
            **STREAM,
            "consumer": QUEUE,
            "after_consumer": QUEUE,
            "sequence": 6,
            "event_id": UUID(int=0),
            "limit": 51,
        },
    ),
    "one stream at its consumers": (
        position.POSITIONS,
        {"source": SOURCE, "kind": "order", "aggregate": "777"},
    ),
    "streams of an id at consumers": (position.STREAMS_WITH_ID, {"id": "777"}),
    "streams of an id at the producer": (sql.STREAMS_WITH_ID, {"id": "777"}),
    "one stream at its producer": (
        sql.STREAM_EVENTS,
        {**STREAM, "bucket": bucket_of("order", "777"), "first": 1, "last": 3},
    ),
    "failed events": (sql.FAILED_EVENTS, {"after": 0, "searched": 100_000, "limit": 51}),
    "scheduled events": (
        sql.SCHEDULED_EVENTS,
        {
            "due_at": datetime(2020, 1, 1, tzinfo=UTC),
            "source": "",
            "key": "",
            "prefix": None,
            "type": None,
            "limit": 51,
        },
    ),
    "a replay of one aggregate": (
        sql.REPLAYABLE.format(where=REPLAYED),
        {**REPLAY_OF, "counted_to": 1_000},
    ),
}


@pytest.fixture
async def filled(world: World) -> World:
    async with await world.psycopg() as connection:
        for statement in FILL.split(";"):
            await connection.execute(statement)
    return world


async def test_no_page_reads_a_whole_table(filled: World) -> None:
    async with await filled.psycopg() as connection:
        cursor = await connection.execute("SELECT tableoid::regclass::text FROM outbox LIMIT 1")
        [(day,)] = await cursor.fetchall()  # the other days are empty
        for name, (query, values) in QUESTIONS.items():
            cursor = await connection.execute(f"EXPLAIN {query}", values, prepare=False)
            plan = "\n".join([line for (line,) in await cursor.fetchall()])
            tables = re.findall(r"Seq Scan on (inbox\w*|outbox\w*)", plan)
            assert {table for table in tables if table == day or "_p2" not in table} == set(), (
                name,
                plan,
            )
