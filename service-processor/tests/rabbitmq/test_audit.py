"""The audit writes a line for every event, goes on where it was, and can be replayed."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import aio_pika
import pytest
import structlog
from sqlalchemy import text
from structlog.testing import capture_logs

from contracts import AUDIT
from kit.outbox.deliveries import events
from kit.outbox.world import running
from kit.servers.delays import Delays
from kit.services.restaurant import open_restaurant, reserve
from kit.services.service import Service
from kit.waiting import eventually
from outbox import Relay
from outbox.postgres.leadership import Leader
from outbox.rabbitmq import stream_reader
from service_processor.audit.journal import Journal, line_of
from service_processor.audit.replay import Offset, offset_of, replay
from service_processor.bootstrap import TOPOLOGY
from servicekit.observe import logs
from servicekit.process.settings import LogFormat, LogLevel
from servicekit.process.startup_errors import StartupProblem


def reader(service: Service, broker_url: str) -> stream_reader.StreamReader:
    journal = Journal(service.work.engine, AUDIT)
    return stream_reader.StreamReader(
        stream=AUDIT,
        broker_url=broker_url,
        topology=TOPOLOGY,
        begin=journal.position,
        handle=journal.write,
    )


def auditor(service: Service, broker_url: str) -> Leader:
    """As a worker runs it."""
    return Leader(reader(service, broker_url), name=AUDIT, database_url=service.url)


@pytest.fixture
async def slow_broker_url(broker_url: str) -> AsyncIterator[str]:
    """The broker, with each message of a stream long in coming."""
    parts = urlsplit(broker_url)
    delays = Delays(parts.hostname or "", parts.port or 0, of=b"x-stream-offset", by=4.0)
    async with delays.serving() as port:
        credentials = parts.netloc.rpartition("@")[0]
        yield urlunsplit(parts._replace(netloc=f"{credentials}@127.0.0.1:{port}"))


def relay(service: Service, broker_url: str) -> Relay:
    return Relay(
        database_url=service.url, broker_url=broker_url, exchange="processor", topology=TOPOLOGY
    )


async def position(service: Service) -> int:
    async with service.work.read() as connection:
        found = await connection.execute(text("SELECT next_offset FROM audit_positions"))
        return found.scalar_one_or_none() or 0


@asynccontextmanager
async def audited(service: Service, broker_url: str, count: int) -> AsyncIterator[list[Any]]:
    """The lines of an audit that runs until it has come so far."""

    async def far_enough() -> bool:
        return await position(service) == count

    with capture_logs() as lines:
        async with running(relay(service, broker_url), reader(service, broker_url)):
            await eventually(far_enough)
    yield [line for line in lines if line["event"] == "audit"]


async def replayed(broker_url: str, begin: Offset, capsys: Any) -> list[int]:
    await replay(broker_url, TOPOLOGY, begin)
    return [json.loads(line)["offset"] for line in capsys.readouterr().out.splitlines()]


async def test_every_event_has_a_line_and_is_written_once(
    service: Service, broker_url: str
) -> None:
    restaurant_id, [table_id] = await open_restaurant(service.http, seats=(2,))
    await reserve(service.http, table_id)
    async with audited(service, broker_url, 3) as lines:
        assert sorted(line["type"] for line in lines) == [
            "reservation.created",
            "restaurant.created",
            "table.created",
        ]
        assert [line["offset"] for line in lines] == [0, 1, 2]
        [table] = [line for line in lines if line["type"] == "table.created"]
    assert (table["aggregate_id"], table["sequence"]) == (str(restaurant_id), 2)
    assert table["data"]["table_id"] == table_id
    await service.http.delete(f"/tables/{table_id + 1000}")
    await open_restaurant(service.http, seats=())
    async with audited(service, broker_url, 4) as lines:
        assert [line["offset"] for line in lines] == [3]


async def test_what_is_no_event_has_a_line_too(service: Service, broker_url: str) -> None:
    async with await aio_pika.connect(broker_url) as connection:
        await TOPOLOGY.ensure(connection)
        channel = await connection.channel()
        exchange = await channel.get_exchange(TOPOLOGY.entry("orders"))
        await exchange.publish(aio_pika.Message(b"?"), "stray")
    async with audited(service, broker_url, 1) as lines:
        assert [(line["offset"], line["readable"]) for line in lines] == [(0, False)]


@pytest.mark.parametrize(
    ("body", "shown"),
    [(b'{"x":1}', {"x": 1}), (b'{"x":"\\ud800"}', None), (b"[" * 100_000, None), (b"[NaN]", None)],
)
async def test_no_level_and_no_body_leaves_an_event_out(
    service: Service, body: bytes, shown: object
) -> None:
    """The lines as they are rendered, at the highest level there is."""
    stream = io.StringIO()
    logs.configure("processor", LogLevel.ERROR, LogFormat.JSON, stream)
    try:
        journal = Journal(service.work.engine, AUDIT)
        await journal.write([stream_reader.StreamedEvent(0, replace(events(1)[0], payload=body))])
    finally:
        structlog.reset_defaults()
    line = json.loads(stream.getvalue().encode())
    assert (line["offset"], line["data"]) == (0, shown)
    assert await position(service) == 1


def test_of_a_large_body_the_line_has_the_beginning_and_the_size() -> None:
    body = b'"' + b"x" * 1_000_000 + b'"'
    line = line_of(stream_reader.StreamedEvent(7, replace(events(1)[0], payload=body)))
    assert (line["data"], line["bytes"], line["begins"][:3]) == (None, 1_000_002, '"xx')
    assert len(json.dumps(line)) < 2_000


async def test_the_stream_is_replayed_from_any_point(
    service: Service, broker_url: str, capsys: Any
) -> None:
    await open_restaurant(service.http, seats=(2, 4, 6))
    async with audited(service, broker_url, 4):
        pass
    assert await replayed(broker_url, "first", capsys) == [0, 1, 2, 3]
    assert await replayed(broker_url, 2, capsys) == [2, 3]
    before = datetime.now(UTC) - timedelta(minutes=5)
    assert await replayed(broker_url, before, capsys) == [0, 1, 2, 3]
    assert await position(service) == 4


async def test_a_replay_from_beyond_the_end_is_empty(
    service: Service, broker_url: str, capsys: Any
) -> None:
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    for begin in ("first", 0, tomorrow):
        assert await replayed(broker_url, begin, capsys) == []
    await open_restaurant(service.http, seats=())
    async with audited(service, broker_url, 1):
        pass
    for begin in (1, 1000, tomorrow):
        assert await replayed(broker_url, begin, capsys) == []


async def test_a_broker_that_is_slow_to_deliver_ends_no_replay(
    service: Service, broker_url: str, slow_broker_url: str, capsys: Any
) -> None:
    await open_restaurant(service.http, seats=(2, 4, 6))
    async with audited(service, broker_url, 4):
        pass
    assert await replayed(slow_broker_url, "first", capsys) == [0, 1, 2, 3]


async def test_a_broker_that_delivers_slowly_has_not_started_over(
    service: Service, broker_url: str, slow_broker_url: str
) -> None:
    await open_restaurant(service.http, seats=(2, 4, 6))
    async with audited(service, broker_url, 4):
        pass
    await open_restaurant(service.http, seats=())
    async with running(relay(service, broker_url)), audited(service, slow_broker_url, 5) as lines:
        assert [line["offset"] for line in lines] == [4]


async def test_a_stream_queue_that_started_over_is_read_from_its_beginning(
    service: Service, broker_url: str
) -> None:
    await open_restaurant(service.http, seats=(2, 4, 6))
    async with audited(service, broker_url, 4):
        pass
    async with await aio_pika.connect(broker_url) as connection:
        await (await connection.channel()).queue_delete(AUDIT)
    await open_restaurant(service.http, seats=())
    async with audited(service, broker_url, 1) as lines:
        assert [line["offset"] for line in lines] == [0]


def test_a_point_of_the_stream_is_first_a_number_or_a_time() -> None:
    assert offset_of("first") == "first"
    assert offset_of("17") == 17
    assert offset_of("2026-11-21T06:00:00") == datetime(2026, 11, 21, 6, tzinfo=UTC)
    with pytest.raises(StartupProblem, match="--from soon"):
        offset_of("soon")
