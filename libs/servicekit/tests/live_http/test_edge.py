"""A caller that goes, or is refused, before its request is complete: no crash, no 500."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from servicekit.http.app import ServiceApp, create_app
from servicekit.http.idempotency import Once
from servicekit.http.large_body_queue import LARGE, LargeBodyQueue
from servicekit.http.routing import Router
from servicekit.observe.metrics import HttpMetrics
from servicekit.process.server import bind, serve

LogLines = Callable[..., list[dict[str, Any]]]

DEADLINE = 20.0
HALF = b"Host: x\r\nContent-Length: 10\r\n"
WITH_A_KEY = b"POST /api/v1/rest HTTP/1.1\r\nIdempotency-Key: k\r\n" + HALF + b"\r\n{"
WITHOUT_A_TYPE = b"POST /api/v1/work HTTP/1.1\r\n" + HALF + b"\r\n{"

LARGE_REQUEST = (
    b"POST /api/v1/work HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\n\r\n" % (LARGE + 2) + b" " * LARGE + b"{}"
)


class Watched:
    """The application, and whether it is done with the request."""

    def __init__(self, app: ServiceApp) -> None:
        self.app = app
        self.done = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self.app(scope, receive, send)
        finally:
            self.done.set()


@pytest.fixture
def watched(metrics: HttpMetrics) -> Watched:
    router = Router()

    @router.post("/rest")
    async def rest(once: Once) -> None: ...

    @router.post("/work")
    async def work(body: dict[str, int]) -> None: ...

    app = create_app(title="t", version="1", description="", routers=[router], metrics=metrics)
    return Watched(app)


@asynccontextmanager
async def served(app: Watched) -> AsyncIterator[int]:
    listener = bind("127.0.0.1", 0, variable="PORT")
    stop = asyncio.Event()
    server = asyncio.create_task(serve(app, listener, stop=stop, variable="PORT", patience=1.0))
    await asyncio.sleep(0)  # until it listens
    yield listener.getsockname()[1]
    stop.set()
    await server


def status_5xx(metrics: HttpMetrics) -> list[str]:
    """The series of answers that were our fault."""
    return [
        str(sample.labels)
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.labels.get("status", "").startswith("5")
    ]


@pytest.mark.parametrize("data", [WITH_A_KEY, WITHOUT_A_TYPE], ids=["key", "no type"])
@pytest.mark.parametrize("patient", [False, True], ids=["hung up", "refused"])
async def test_a_caller_that_goes_in_the_middle_of_the_body_is_not_a_crash(
    watched: Watched, metrics: HttpMetrics, log_lines: LogLines, data: bytes, *, patient: bool
) -> None:
    async with served(watched) as port, asyncio.timeout(DEADLINE):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(data)
        await writer.drain()
        if patient:
            assert (await reader.read()).startswith(b"HTTP/1.1 408 ")
        writer.close()
        await watched.done.wait()
    expected = {"listening", "malformed_request"} if patient else {"listening"}
    assert {line["event"] for line in log_lines()} - expected == set()
    assert status_5xx(metrics) == []


async def test_a_large_body_is_not_read_for_a_caller_that_left_the_queue(
    watched: Watched, metrics: HttpMetrics
) -> None:
    read, over = list[bytes](), asyncio.Event()
    queue = watched.app.state.large_body_queue = LargeBodyQueue(read.append)

    async def until_over() -> bool:
        await over.wait()
        return False

    async with served(watched) as port, asyncio.timeout(DEADLINE):
        first = asyncio.create_task(queue.parse(b" " * LARGE + b"1", until_over))
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(LARGE_REQUEST)
        while not queue.waiting:  # noqa: ASYNC110 the queue has no event
            await asyncio.sleep(0.01)
        writer.close()
        await writer.wait_closed()
        await answered(port)  # by then the server has seen that the other is closed
        watched.done.clear()
        over.set()
        await first
        await watched.done.wait()
    assert read == [b" " * LARGE + b"1"]
    assert [s for s in metrics_of(metrics) if s.get("route") == "/api/v1/work"] == []


async def answered(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert (await reader.read()).startswith(b"HTTP/1.1 404 ")
    writer.close()


def metrics_of(metrics: HttpMetrics) -> list[dict[str, str]]:
    families = metrics.registry.collect()
    return [sample.labels for family in families for sample in family.samples]
