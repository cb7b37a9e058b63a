"""Serving over real sockets: ports in use, the first request, and a bounded end."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from kit.waiting import eventually
from servicekit.http import protocol
from servicekit.http.app import ServiceApp, create_app
from servicekit.http.edge import Edge
from servicekit.http.fields import WaitSeconds
from servicekit.http.long_polling import Waiters
from servicekit.http.routing import Router
from servicekit.observe.metrics import HttpMetrics
from servicekit.observe.requests import RequestObserver
from servicekit.process.server import bind, serve
from servicekit.process.startup_errors import StartupProblem
from servicekit.process.urls import PostgresUrl


def test_a_taken_port_is_named_with_its_variable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        with pytest.raises(StartupProblem) as raised:
            bind("127.0.0.1", port, variable="TOYS_PORT")
    assert f"port {port} on 127.0.0.1 is taken" in str(raised.value)
    assert "TOYS_PORT=" in str(raised.value)


@pytest.mark.parametrize("host", ["198.51.100.7", "no.such.host.invalid"])
def test_a_host_of_another_machine_is_named(host: str) -> None:
    with pytest.raises(StartupProblem, match=f"HTTP_HOST={host}"):
        bind(host, 0, variable="TOYS_PORT")


async def test_two_processes_bound_to_one_port_do_not_both_listen(toy_app: ServiceApp) -> None:
    first = bind("127.0.0.1", 0, variable="TOYS_PORT")
    second = bind("127.0.0.1", first.getsockname()[1], variable="TOYS_PORT")
    async with serving(toy_app, first):
        with pytest.raises(StartupProblem, match="is taken"):
            await serve(toy_app, second, stop=asyncio.Event(), variable="TOYS_PORT")


async def test_a_bound_port_refuses_callers_until_it_is_served(toy_app: ServiceApp) -> None:
    listener = bind("127.0.0.1", 0, variable="TOYS_PORT")
    host, port = listener.getsockname()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(host, port)
    async with serving(toy_app, listener), httpx.AsyncClient(timeout=60) as client:
        answer = await client.get(f"http://{host}:{port}/health/live")
        assert answer.status_code == 200
        assert "server" not in answer.headers


async def test_the_end_waits_for_a_request_in_flight() -> None:
    running, finish = asyncio.Event(), asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        running.set()
        await finish.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"done"})

    listener = bind("127.0.0.1", 0, variable="TOYS_PORT")
    port = listener.getsockname()[1]
    stop = asyncio.Event()
    server = asyncio.create_task(serve(app, listener, stop=stop, variable="TOYS_PORT"))
    async with httpx.AsyncClient(timeout=60) as client:
        request = asyncio.create_task(client.get(f"http://127.0.0.1:{port}/"))
        await running.wait()
        stop.set()
        await eventually(lambda: refused(port))
        assert not server.done()
        finish.set()
        assert (await request).text == "done"
    await server


async def test_the_end_waits_for_the_first_request_of_a_new_connection(
    toy_app: ServiceApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "FIRST_REQUEST", 30)
    listener = bind("127.0.0.1", 0, variable="TOYS_PORT")
    host, port = listener.getsockname()
    stop = asyncio.Event()
    server = asyncio.create_task(serve(toy_app, listener, stop=stop, variable="TOYS_PORT"))
    while await refused(port):
        assert not server.done()
    reader, writer = await asyncio.open_connection(host, port)
    stop.set()
    await eventually(lambda: refused(port))
    writer.write(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
    writer.close()
    await server


async def test_the_end_is_bounded_when_a_request_hangs(metrics: HttpMetrics) -> None:
    running = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        running.set()
        await asyncio.Event().wait()

    listener = bind("127.0.0.1", 0, variable="TOYS_PORT")
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
    stop = asyncio.Event()
    app_here = Edge(app, RequestObserver(metrics))
    serving_it = serve(app_here, listener, stop=stop, variable="TOYS_PORT", grace=1)
    server = asyncio.create_task(serving_it)
    async with httpx.AsyncClient(timeout=60) as client:
        request = asyncio.create_task(client.get(url))
        await running.wait()
        stop.set()
        async with asyncio.timeout(60):
            await server
        answer = await request
    assert (answer.status_code, answer.json()["code"]) == (503, "shutting_down")


async def test_a_long_poll_does_not_delay_the_end(
    database: PostgresUrl, metrics: HttpMetrics
) -> None:
    stop = asyncio.Event()
    listener = bind("127.0.0.1", 0, variable="TOYS_PORT")
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/api/v1/thing?wait=30"
    async with (
        Waiters(database, "settled", stop=stop) as waiters,
        httpx.AsyncClient(timeout=60) as client,
    ):
        app = polling_app(waiters, metrics)
        serving_it = serve(app, listener, stop=stop, variable="TOYS_PORT", grace=60)
        server = asyncio.create_task(serving_it)
        request = asyncio.create_task(client.get(url))

        async def polling() -> bool:
            return waiters.waiting == 1

        await eventually(polling)
        stop.set()
        async with asyncio.timeout(30):
            assert (await request).json() == "CREATED"
            await server


def polling_app(waiters: Waiters, metrics: HttpMetrics) -> ServiceApp:
    router = Router()

    async def read() -> str:
        return "CREATED"

    @router.get("/thing")
    async def thing(wait: WaitSeconds = 0) -> str:
        return await waiters.until_settled("a", read, lambda status: status == "DONE", wait)

    return create_app(title="t", version="1", description="", routers=[router], metrics=metrics)


async def test_a_body_that_is_too_large_is_answered_over_a_real_connection(
    toy_app: ServiceApp,
) -> None:
    listener = bind("127.0.0.1", 0, variable="TOYS_PORT")
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/api/v1/toys"
    async with serving(toy_app, listener), httpx.AsyncClient(timeout=60) as client:
        for content in (b"x" * 5_000_000, chunks()):
            headers = {"content-type": "application/json"}
            answer = await client.post(url, content=content, headers=headers)
            assert answer.status_code == 413
            assert answer.json()["code"] == "body_too_large"
        assert (await client.get(url)).status_code == 200


async def chunks() -> AsyncIterator[bytes]:
    for _ in range(80):
        yield b"x" * 65536


async def refused(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:
        return False  # it waited to be accepted when the listener was closed
    writer.close()
    return False


@asynccontextmanager
async def serving(app: ServiceApp, listener: socket.socket) -> AsyncIterator[None]:
    stop = asyncio.Event()
    port = listener.getsockname()[1]
    server = asyncio.create_task(serve(app, listener, stop=stop, variable="TOYS_PORT"))
    while await refused(port):
        assert not server.done()
    yield
    stop.set()
    await server
