"""How long the console's pages take on full tables, and what it costs a database at rest.

    python -m bench.console_pages postgresql://postgres:…@127.0.0.1:5432/postgres

It fills a database of its own on that server: by default 10,000,000 published events, and 100,000
parked ones in 10,000 streams. Ten minutes and 6 GB are enough. A page's time is from the request to
the last byte, over `--rounds` requests one after the other.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlencode, urlsplit, urlunsplit

import httpx
import psycopg
from fastapi import FastAPI
from psycopg.rows import dict_row
from sqlalchemy import create_engine

from outbox import schema
from outbox.console import Access, ConsoleService, Users, build_console
from outbox.console.samples import AT_REST, SHARE_AT_REST, pause

DATABASE, CONSUMER = "bench_console", "kitchen.orders"
AT_ONCE = 500_000

_PUBLISHED = """
INSERT INTO outbox (event_id, bucket, source, aggregate_type, aggregate_id, sequence, type, version,
                    payload, correlation_id, created_at, published_at)
SELECT gen_random_uuid(), n % 1024, 'shop', 'order', 'p-' || n / 10, n % 10 + 1,
       CASE WHEN n % 3 = 0 THEN 'order.paid' ELSE 'order.created' END, 1, '{"number": 1}',
       'c-' || n, clock_timestamp() - interval '1 minute', clock_timestamp()
  FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n
"""
_STREAMS = """
INSERT INTO outbox_streams (source, aggregate_type, aggregate_id, last)
SELECT 'shop', 'order', 'p-' || n, 10 FROM generate_series(0, %(last)s::bigint / 10) AS n
"""
_POSITIONS = """
INSERT INTO inbox (consumer, source, aggregate_type, aggregate_id, last_sequence, blocked, parked)
SELECT %(consumer)s, 'shop', 'order', 'o-' || n, 0, true, %(events)s
  FROM generate_series(1, %(streams)s::int) AS n
"""
_PARKED = """
INSERT INTO inbox_parked (consumer, source, aggregate_type, aggregate_id, sequence, event_id,
                          reason, type, version, time, body, correlation_id, attempts,
                          last_error, last_traceback, cause, fingerprint, failed_at, failed_with)
SELECT %(consumer)s, 'shop', 'order', 'o-' || n, s, gen_random_uuid(),
       CASE WHEN s = 1 THEN 'failed' ELSE 'behind' END, 'order.created', 1, clock_timestamp(),
       convert_to(repeat('x', 400), 'UTF8'), 'c-' || n, 3, 'ValueError: no such dish',
       repeat('in cook', 100), 'ValueError in cook', 'f00dcaf' || n % 3,
       ARRAY[clock_timestamp()], ARRAY['ValueError']
  FROM generate_series(1, %(streams)s::int) AS n, generate_series(1, %(events)s::int) AS s
"""

_A_PARKED_EVENT = """
SELECT consumer, type, fingerprint AS group, source, aggregate_type, aggregate_id, sequence,
       event_id::text AS event
  FROM inbox_parked WHERE fingerprint IS NOT NULL LIMIT 1
"""
_A_STREAM = "SELECT aggregate_type, aggregate_id FROM outbox_streams LIMIT 1"


@contextmanager
def filled(admin: str, published: int, streams: int, events: int) -> Iterator[str]:
    """A database with so much in it, dropped after the block."""
    url = urlunsplit(urlsplit(admin)._replace(path=f"/{DATABASE}"))
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{DATABASE}"')
    try:
        _fill(url, published, streams, events)
        yield url
    finally:
        with psycopg.connect(admin, autocommit=True) as connection:
            connection.execute(f'DROP DATABASE "{DATABASE}" WITH (FORCE)')


def _fill(url: str, published: int, streams: int, events: int) -> None:
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as connection:
        schema.create_outbox(connection)
        schema.create_inbox(connection)
        schema.create_jobs(connection)
    engine.dispose()
    values = {"consumer": CONSUMER, "streams": streams, "events": events, "last": published}
    with psycopg.connect(url, autocommit=True) as connection:
        for first in range(0, published, AT_ONCE):
            last = min(first + AT_ONCE, published) - 1
            connection.execute(_PUBLISHED, {"first": first, "last": last})
        connection.execute(_STREAMS, values)
        connection.execute(_POSITIONS, values)
        connection.execute(_PARKED, values)
        connection.execute("VACUUM ANALYZE")


async def measure(url: str, rounds: int) -> None:
    """Print p50 and p95 of each page, and the share of the time in which it measures at rest."""
    app = build_console([ConsoleService("shop", url)], Access(Users.of_development()))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
        login = {"name": "operator", "password": "operator-dev-only"}
        assert (await http.post("/login", data=login)).status_code == 303
        began = time.perf_counter()
        await app.state.samples.measure("shop")
        await app.state.samples.measure("shop")
        took = (time.perf_counter() - began) / 2
        for name, path in [*_pages(app), *_details(url)]:
            times = [await _timed(http, path) for _ in range(rounds)]
            times.sort()
            p95 = times[math.ceil(0.95 * len(times)) - 1]
            print(
                f"{name:<28} p50 {times[len(times) // 2] * 1000:7.0f} ms  p95 {p95 * 1000:7.0f} ms"
            )
    every = took + pause(took, AT_REST, SHARE_AT_REST)
    print(
        f"a measurement takes {took * 1000:.0f} ms every {every:.1f} s:"
        f" {took / every:.2%} of a core at most"
    )


def _pages(app: FastAPI) -> list[tuple[str, str]]:
    return [(page.title, str(app.url_path_for(page.route))) for page in app.state.pages]


def _details(url: str) -> list[tuple[str, str]]:
    """Pages about one group, one parked event and one stream of what is there."""
    with psycopg.connect(url, row_factory=dict_row) as connection:
        parked = connection.execute(_A_PARKED_EVENT).fetchone()
        stream = connection.execute(_A_STREAM).fetchone()
    assert parked is not None
    assert stream is not None
    names = ("consumer", "type", "group")
    group = urlencode({name: parked[name] for name in names})
    event = urlencode({name: value for name, value in parked.items() if name not in names[1:]})
    return [
        ("one group", f"/failures/shop/group?{group}"),
        ("preview of its redrive", f"/failures/shop/redrive?{group}"),
        ("preview of its discard", f"/failures/shop/discard?{group}"),
        ("one parked event", f"/failures/shop/event?{event}"),
        ("one stream", f"/streams?aggregate_id={stream['aggregate_id']}"),
        ("preview of its replay", f"/outbox/shop/replay?{urlencode(stream)}"),
        ("preview of a day's replay", "/outbox/shop/replay?since=2020-01-01T00:00"),
    ]


async def _timed(http: httpx.AsyncClient, path: str) -> float:
    began = time.perf_counter()
    answer = await http.get(path)
    assert answer.status_code == 200, (path, answer.status_code)
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("server", help="a PostgreSQL server's address, by a user that may create")
    parser.add_argument("--published", type=int, default=10_000_000)
    parser.add_argument("--streams", type=int, default=10_000)
    parser.add_argument("--events", type=int, default=10, help="parked in each of the streams")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--filled", action="store_true", help="SERVER names a database to read")
    given = parser.parse_args()
    if given.filled:
        asyncio.run(measure(given.server, given.rounds))
        return
    with filled(given.server, given.published, given.streams, given.events) as url:
        asyncio.run(measure(url, given.rounds))


if __name__ == "__main__":
    main()
