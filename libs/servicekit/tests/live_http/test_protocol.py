"""Refusals before there is a request, over real sockets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from prometheus_client import REGISTRY
from starlette.types import Receive, Scope, Send

from servicekit.http.protocol import LINGER
from servicekit.process.server import bind, serve

PATIENCE = 2.0
GET = b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def shows_headers(scope: Scope, receive: Receive, send: Send) -> None:
    """Read the whole body, then answer the headers' names; /slow takes longer than the patience."""
    message = await receive()
    while message.get("more_body"):
        message = await receive()
    if scope["path"] == "/slow":
        await asyncio.sleep(1.9 * PATIENCE)
    body = b" ".join(name for name, _ in scope["headers"])
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": 200, "headers": [length]})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture
async def port() -> AsyncIterator[int]:
    listener = bind("127.0.0.1", 0, variable="PORT")
    stop = asyncio.Event()
    server = asyncio.create_task(
        serve(shows_headers, listener, stop=stop, variable="PORT", grace=1, patience=PATIENCE)
    )
    await asyncio.sleep(0)  # until it listens
    yield listener.getsockname()[1]
    stop.set()
    await server


@asynccontextmanager
async def connected(port: int, data: bytes) -> AsyncIterator[Connection]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()  # whatever was not sent, nobody reads it
        with suppress(ConnectionError):
            await writer.wait_closed()


async def everything(port: int, data: bytes) -> bytes:
    """All that comes back until the server hangs up."""
    async with connected(port, data) as (reader, _), asyncio.timeout(60):
        return await reader.read()


async def answer(reader: asyncio.StreamReader) -> bytes:
    """Status line and body of the next answer."""
    async with asyncio.timeout(60):
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        return head.split(b"\r\n")[0] + b" " + await reader.readexactly(length)


@pytest.mark.parametrize(
    "data", [GET[:4], GET[:-2] % b"/", POST, POST + b"1234", CHUNKED + b"5\r\n"]
)
async def test_a_request_that_does_not_end_is_given_up(port: int, data: bytes) -> None:
    head, _, body = (await everything(port, data)).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 408 ")
    assert b"connection: close" in head
    problem = json.loads(body)
    assert (problem["status"], problem["code"]) == (408, "request_timeout")
    assert problem["instance"] == "/"


async def test_a_silent_caller_is_disconnected(port: int) -> None:
    assert await everything(port, b"") == b""


async def test_a_connection_kept_for_the_next_request_may_rest(port: int) -> None:
    async with connected(port, GET % b"/") as (reader, writer):
        assert await answer(reader) == b"HTTP/1.1 200 OK host"
        assert b" 408 " in await everything(port, POST)
        writer.write(GET % b"/")
        assert await answer(reader) == b"HTTP/1.1 200 OK host"


async def test_the_next_request_may_wait_for_a_slow_answer(port: int) -> None:
    async with connected(port, GET % b"/slow" + POST[:-10]) as (reader, writer):
        assert await answer(reader) == b"HTTP/1.1 200 OK host"
        await asyncio.sleep(0.2 * PATIENCE)
        writer.write(POST[-10:] + b"12345")
        assert await answer(reader) == b"HTTP/1.1 200 OK host content-length"


async def test_trailers_do_not_become_headers(port: int) -> None:
    async with connected(port, CHUNKED) as (reader, writer):
        writer.write(b"5\r\n12345\r\n0\r\nIdempotency-Key: x\r\n\r\n")
        assert await answer(reader) == b"HTTP/1.1 200 OK host transfer-encoding"


async def test_the_request_before_garbage_is_answered(port: int) -> None:
    received = await everything(port, GET % b"/slow" + b"\x00 garbage\r\n\r\n")
    assert received.count(b"HTTP/1.1 ") == 1
    assert received.startswith(b"HTTP/1.1 200 ")


async def test_a_refused_caller_that_keeps_sending_is_disconnected(port: int) -> None:
    async with connected(port, b"\x00") as (reader, writer), asyncio.timeout(LINGER + 60):
        assert (await answer(reader)).startswith(b"HTTP/1.1 400 ")
        hung_up = asyncio.create_task(reader.read())
        while not hung_up.done():
            writer.write(b"x" * 1000)
            await asyncio.wait({hung_up}, timeout=0.05)
        assert isinstance(hung_up.exception(), ConnectionResetError) or hung_up.result() == b""


async def test_a_malformed_request_is_counted_and_uvicorn_logs_nothing(
    port: int, caplog: pytest.LogCaptureFixture
) -> None:
    def counted() -> float:
        labels = {"code": "malformed_request"}
        return REGISTRY.get_sample_value("http_malformed_requests_total", labels) or 0

    before = counted()
    for data in (b"\x00\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"GET /\r\n\r\n"):
        assert (await everything(port, data)).startswith(b"HTTP/1.1 400 ")
    assert counted() == before + 3
    assert "Invalid HTTP request" not in caplog.text


async def echoes_host(scope: Scope, receive: Receive, send: Send) -> None:
    body = b" ".join(value for name, value in scope["headers"] if name == b"host")
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": 200, "headers": [length]})
    await send({"type": "http.response.body", "body": body})


@pytest.mark.parametrize(
    ("target", "host"),
    [
        (b"http://evil.example/x", b"evil.example"),
        (b"http://good@evil.example:80/?x=://y", b"evil.example:80"),
        (b"HTTP://[::1]:8000/", b"[::1]:8000"),
        (b"/http://evil.example", b"good.example"),
    ],
)
@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
async def test_the_host_in_an_absolute_address_counts(
    target: bytes, host: bytes, version: bytes
) -> None:
    listener, stop = bind("127.0.0.1", 0, variable="PORT"), asyncio.Event()
    server = asyncio.create_task(serve(echoes_host, listener, stop=stop, variable="PORT", grace=1))
    await asyncio.sleep(0)  # until it listens
    request = b"GET %s HTTP/%s\r\nHost: good.example\r\n\r\n" % (target, version)
    async with connected(listener.getsockname()[1], request) as (reader, _):
        assert await answer(reader) == b"HTTP/1.1 200 OK " + host
    stop.set()
    await server


async def test_a_caller_of_http_1_0_needs_no_host(port: int) -> None:
    assert (await everything(port, b"GET / HTTP/1.0\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
