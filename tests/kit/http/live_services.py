"""A service's API as production runs it, for tests that are its callers: server, loop and socket.

It runs in a thread of the test process, on a migrated database of its own, without a broker.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass
from threading import Thread
from typing import Any

import httpx
import psycopg
import structlog
import uvloop
from prometheus_client import CollectorRegistry

import service_orders.bootstrap
import service_orders.metadata
import service_processor.bootstrap
import service_processor.metadata
from kit.servers import addresses
from kit.servers.databases import fresh_database
from kit.services.external_systems import ExternalWorld
from outbox import Outbox, Work, open_work
from service_orders.waiting import SETTLED
from service_processor.settings import Settings as ProcessorSettings
from servicekit.database.engine import create_engine
from servicekit.database.migrations import upgrade
from servicekit.database.probe import DatabaseProbe
from servicekit.http.app import ServiceApp
from servicekit.http.long_polling import Waiters
from servicekit.observe.health import Health
from servicekit.observe.metrics import HttpMetrics
from servicekit.process.runtime import Service
from servicekit.process.server import bind, serve
from servicekit.process.urls import PostgresUrl

HOST, DEADLINE = "127.0.0.1", 10.0
NO_BROKER = "amqp://nobody:nothing@127.0.0.1:1/"


TABLES = """
SELECT relname FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
"""


@dataclass(frozen=True)
class Live:
    """Where a service answers, and its database."""

    port: int
    database: PostgresUrl

    @property
    def base(self) -> str:
        return f"http://{HOST}:{self.port}"

    def rows(self) -> dict[str, int]:
        """How many rows each table of the database holds."""
        with psycopg.connect(self.database) as connection:
            counts = {}
            for (table,) in connection.execute(TABLES).fetchall():
                found = connection.execute(f'SELECT count(*) FROM "{table}"').fetchone()
                counts[table] = int(found[0]) if found else 0
            return counts


@dataclass
class _Building:
    stack: AsyncExitStack
    url: PostgresUrl
    stop: asyncio.Event
    metrics: HttpMetrics

    async def health(self, service: Service) -> Health:
        probe = DatabaseProbe(self.url, service.ini)
        self.stack.push_async_callback(probe.aclose)
        return Health({"database": probe.database, "migrations": probe.migrations})

    async def work(self, outbox: Outbox) -> Work:
        engine = create_engine(self.url, application_name="live")
        return await self.stack.enter_async_context(open_work(engine, self.url, outbox))


async def _orders(building: _Building) -> ServiceApp:
    waiting = Waiters(building.url, SETTLED, stop=building.stop)
    waiters = await building.stack.enter_async_context(waiting)
    await waiters.listening.wait()
    work = await building.work(service_orders.metadata.outbox)
    health = await building.health(service_orders.bootstrap.SERVICE)
    external = ExternalWorld(timeout=30)
    assert await external.externals.refresh_rules()
    dependencies = service_orders.bootstrap.build_dependencies(
        work, waiters, external.offer_issuer()
    )
    return service_orders.bootstrap.build_app(dependencies, health, building.metrics)


async def _processor(building: _Building) -> ServiceApp:
    work = await building.work(service_processor.metadata.outbox)
    health = await building.health(service_processor.bootstrap.SERVICE)
    settings = _processor_settings()
    dependencies = service_processor.bootstrap.build_dependencies(settings, work)
    return service_processor.bootstrap.build_app(settings, dependencies, health, building.metrics)


def _processor_settings() -> ProcessorSettings:
    variables = {"DATABASE_URL_PROCESSOR": "postgresql://nobody@127.0.0.1:1/nothing"}
    return ProcessorSettings.model_validate({**variables, "rabbitmq_url": NO_BROKER})


def document(name: str) -> dict[str, Any]:
    """The OpenAPI document of a service; nothing has to run for it."""
    nothing: Any = None
    health, metrics = Health({}), HttpMetrics(CollectorRegistry())
    if name == "orders":
        app = service_orders.bootstrap.build_app(nothing, health, metrics)
    else:
        app = service_processor.bootstrap.build_app(_processor_settings(), nothing, health, metrics)
    return app.openapi()


Build = Callable[[_Building], Awaitable[ServiceApp]]

_SERVICES: dict[str, tuple[Service, Build]] = {
    "orders": (service_orders.bootstrap.SERVICE, _orders),
    "processor": (service_processor.bootstrap.SERVICE, _processor),
}


@contextmanager
def live_service(name: str, database_url: str) -> Iterator[Live]:
    """Migrate the empty database and answer on a free port until the block ends."""
    service, build = _SERVICES[name]
    url = PostgresUrl(database_url)
    upgrade(url, service.ini, variable=service.database_variable)
    with _warnings_shown(), _served(name, url, build) as port:
        yield Live(port, url)


def live_for_tests(name: str) -> Iterator[Live]:
    """A service for a fixture. The tests may send it anything; it never answers with 5xx."""
    with fresh_database(addresses.postgres()) as url, live_service(name, url) as live:
        yield live
        counted = httpx.get(f"{live.base}/metrics", timeout=30).text.splitlines()
        assert [line for line in counted if 'status="5' in line] == []


@contextmanager
def _warnings_shown() -> Iterator[None]:
    """Without the local variables that structlog shows of a traceback, for seconds on end."""
    plain = structlog.dev.ConsoleRenderer(
        colors=False, exception_formatter=structlog.dev.plain_traceback
    )
    structlog.configure(
        processors=[structlog.processors.add_log_level, plain],
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
    )
    yield
    structlog.reset_defaults()


@contextmanager
def _served(name: str, url: PostgresUrl, build: Build) -> Iterator[int]:
    started: Future[tuple[int, Callable[[], object]]] = Future()
    ended: Future[None] = Future()

    async def main() -> None:
        stop, loop = asyncio.Event(), asyncio.get_running_loop()
        async with AsyncExitStack() as stack:
            app = await build(_Building(stack, url, stop, HttpMetrics(CollectorRegistry())))
            listener = bind(HOST, 0, variable="PORT")
            port = listener.getsockname()[1]
            started.set_result((port, lambda: loop.call_soon_threadsafe(stop.set)))
            await serve(app, listener, stop=stop, variable="PORT")

    def run() -> None:
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(main())
        except BaseException as error:
            for future in (started, ended):
                if not future.done():
                    future.set_exception(error)
        else:
            ended.set_result(None)

    Thread(target=run, name=f"live {name}", daemon=True).start()
    port, stop = started.result(DEADLINE)
    _wait_for(port)
    try:
        yield port
    finally:
        stop()
        ended.result(DEADLINE)


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        with suppress(ConnectionRefusedError):
            socket.create_connection((HOST, port), DEADLINE).close()
            return
        time.sleep(0.01)
    raise TimeoutError(f"nothing listens on port {port}")
