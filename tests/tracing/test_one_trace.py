"""One trace from a request through both services and back, on the real broker and databases."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import pairwise
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest
from opentelemetry import trace as otel
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry

import service_orders.bootstrap
import service_orders.metadata
import service_processor.bootstrap
import service_processor.metadata
from contracts.exchanges import ORDERS, PROCESSOR
from kit.outbox.world import running
from kit.servers.databases import fresh_database
from kit.services.external_systems import ExternalWorld
from kit.waiting import eventually
from outbox import HandlersByType, Outbox, Work, build_worker, open_work
from service_orders.domains.orders import ORDERS as ORDERS_DOMAIN
from service_orders.waiting import SETTLED
from service_processor.domains import domains
from service_processor.settings import Settings
from servicekit.database.engine import create_engine
from servicekit.database.migrations import upgrade
from servicekit.http.long_polling import Waiters
from servicekit.observe import trace
from servicekit.observe.metrics import HttpMetrics
from servicekit.process.urls import PostgresUrl

ORDER = {"user_id": "u", "products": [{"product_id": "p", "quantity": 1}], "amount": "1.00"}


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    """Tracing is on for the length of the test."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(otel, "_TRACER_PROVIDER", provider)
    return exporter


@pytest.fixture
def databases(request: pytest.FixtureRequest, database_url: str) -> Iterator[list[PostgresUrl]]:
    with fresh_database(urlsplit(database_url)._replace(path="/postgres").geturl()) as second:
        urls = [PostgresUrl(database_url), PostgresUrl(second)]
        upgrade(urls[0], service_orders.bootstrap.SERVICE.ini, variable="DATABASE_URL_ORDERS")
        upgrade(urls[1], service_processor.bootstrap.SERVICE.ini, variable="DATABASE_URL_PROCESSOR")
        yield urls


@asynccontextmanager
async def working(
    url: PostgresUrl, outbox: Outbox, exchange: str, broker: str, queues: dict[str, HandlersByType]
) -> AsyncIterator[Work]:
    """A service's worker for some queues."""
    engine = create_engine(url, application_name="test")
    async with open_work(engine, url, outbox, traceparent=trace.traceparent) as work:
        parts = build_worker(
            database_url=url,
            broker_url=broker,
            exchange=exchange,
            topology=service_orders.bootstrap.TOPOLOGY,
            work=work,
            queues=queues,
        )
        async with running(*parts.values()):
            yield work


@pytest.fixture
async def http(databases: list[PostgresUrl], broker_url: str) -> AsyncIterator[httpx.AsyncClient]:
    ours, theirs = databases
    settings = Settings.model_validate(
        {"DATABASE_URL_PROCESSOR": str(theirs), "rabbitmq_url": broker_url}
    )
    fulfil = next(d for d in domains(settings) if d.queue == "processor.orders")
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(
            working(
                theirs,
                service_processor.metadata.outbox,
                PROCESSOR.name,
                broker_url,
                {"processor.orders": fulfil.handlers},
            )
        )
        work = await stack.enter_async_context(
            working(
                ours,
                service_orders.metadata.outbox,
                ORDERS.name,
                broker_url,
                {"orders.orders": ORDERS_DOMAIN.handlers},
            )
        )
        waiters = await stack.enter_async_context(Waiters(ours, SETTLED, stop=asyncio.Event()))
        await waiters.listening.wait()
        app = service_orders.bootstrap.build_app(
            service_orders.bootstrap.build_dependencies(
                work, waiters, ExternalWorld().offer_issuer()
            ),
            metrics=HttpMetrics(CollectorRegistry()),
        )
        yield await stack.enter_async_context(
            httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://orders/api/v1")
        )


async def test_a_request_and_what_follows_in_both_services_are_one_trace(
    http: httpx.AsyncClient, exporter: InMemorySpanExporter, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    caller = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    answer = await http.post("/orders", json=ORDER, headers={"traceparent": caller})
    assert answer.status_code == 201

    async def settled() -> bool:
        spans = exporter.get_finished_spans()
        return {"process order.processed"} <= {span.name for span in spans} and {
            context(span).span_id for span in spans if span.name.startswith("create ")
        } <= linked(spans)

    await eventually(settled)
    mine = {
        span.name: span
        for span in exporter.get_finished_spans()
        if f"{context(span).trace_id:032x}" == "0af7651916cd43dd8448eb211c80319c"
    }
    chain = [
        "POST /api/v1/orders",
        "create order.created",
        "process order.created",
        "create order.processed",
        "process order.processed",
    ]
    assert mine.keys() >= set(chain)
    assert parent_of(mine[chain[0]]) == 0xB7AD6B7169203331
    for above, below in pairwise(chain):
        assert context(mine[above]).span_id in ancestors(mine[below], mine), below
    created = {context(mine[chain[1]]).span_id, context(mine[chain[3]]).span_id}
    assert created <= linked(exporter.get_finished_spans())


def linked(spans: Sequence[ReadableSpan]) -> set[int]:
    """What the relays' windows say they have published."""
    windows = [span for span in spans if span.name == "publish window"]
    return {link.context.span_id for window in windows for link in window.links}


def context(span: ReadableSpan) -> otel.SpanContext:
    found = span.get_span_context()
    assert found
    return found


def parent_of(span: ReadableSpan) -> int:
    assert span.parent
    return span.parent.span_id


def ancestors(span: ReadableSpan, spans: dict[str, ReadableSpan]) -> list[int]:
    """The framework has spans of its own in between."""
    by_id = {context(one).span_id: one for one in spans.values()}
    found: list[int] = []
    while span.parent:
        found.append(span.parent.span_id)
        if span.parent.span_id not in by_id:
            break
        span = by_id[span.parent.span_id]
    return found


async def test_without_a_provider_the_trace_is_carried_through_all_the_same(
    http: httpx.AsyncClient, databases: list[PostgresUrl]
) -> None:
    caller = "00-0af7651916cd43dd8448eb211c80319d-b7ad6b7169203331-00"
    created = await http.post("/orders", json=ORDER, headers={"traceparent": caller})
    answer = await http.get(f"/orders/{created.json()['id']}/status", params={"wait": 20})
    assert answer.json()["status"] in {"COMPLETED", "FAILED"}
    for url in databases:
        async with await psycopg.AsyncConnection.connect(url) as connection:
            cursor = await connection.execute(
                "SELECT DISTINCT split_part(traceparent, '-', 2) FROM outbox"
            )
            assert await cursor.fetchall() == [(caller.split("-")[1],)]


async def test_a_request_is_one_server_span(
    http: httpx.AsyncClient, exporter: InMemorySpanExporter
) -> None:
    await http.get("/orders/01890000-0000-7000-8000-000000000001")
    spans = [span for span in exporter.get_finished_spans() if span.kind is otel.SpanKind.SERVER]
    assert [span.name for span in spans] == ["GET /api/v1/orders/{order_id}"]
