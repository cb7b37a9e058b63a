"""Clients that do not read their answer, over real sockets: no connection is kept for them."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import uvloop
from starlette.types import Receive, Scope, Send

from servicekit.http.protocol import LimitedProtocol
from servicekit.process.server import bind, serve

PATIENCE, DEADLINE = 2.0, 40.0
PART, PARTS = b"x" * 1024 * 1024, 16
WHOLE = len(PART) * PARTS


async def at_once(scope: Scope, receive: Receive, send: Send) -> None:
    length = [(b"content-length", str(WHOLE).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": length})
    await send({"type": "http.response.body", "body": PART * PARTS})


async def bit_by_bit(scope: Scope, receive: Receive, send: Send) -> None:
    length = [(b"content-length", str(WHOLE).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": length})
    for number in range(1, PARTS + 1):
        await send({"type": "http.response.body", "body": PART, "more_body": number < PARTS})


APPS = pytest.mark.parametrize("app", [at_once, bit_by_bit], ids=["at once", "bit by bit"])
LOOPS = pytest.mark.parametrize("loop", ["asyncio", "uvloop"])


@pytest.fixture
def hung_up(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Set when the server has let a connection go."""
    gone, letting_go = asyncio.Event(), LimitedProtocol.connection_lost

    def lost(self: LimitedProtocol, exc: Exception | None) -> None:
        letting_go(self, exc)
        gone.set()

    monkeypatch.setattr(LimitedProtocol, "connection_lost", lost)
    return gone


@asynccontextmanager
async def asked(app: object, head: bytes) -> AsyncIterator[socket.socket]:
    """A caller with little room who has asked for 16 MB."""
    listener, stop = bind("127.0.0.1", 0, variable="PORT"), asyncio.Event()
    address = listener.getsockname()
    server = asyncio.create_task(
        serve(app, listener, stop=stop, variable="PORT", grace=1, patience=PATIENCE)  # type: ignore[arg-type]
    )
    await asyncio.sleep(0)  # until it listens
    loop = asyncio.get_running_loop()
    with socket.socket() as caller:
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        caller.setblocking(False)
        await loop.sock_connect(caller, address)
        await loop.sock_sendall(caller, head)
        yield caller
    stop.set()
    await server


async def a_caller_who_takes_nothing(app: object, head: bytes, gone: asyncio.Event) -> None:
    async with asyncio.timeout(DEADLINE), asked(app, head):
        await gone.wait()


async def a_caller_who_takes_little(app: object, head: bytes) -> int:
    """How much it has got in the end, after more than three times the patience."""
    loop, taken = asyncio.get_running_loop(), 0
    async with asyncio.timeout(DEADLINE), asked(app, head) as caller:
        until = loop.time() + 3.5 * PATIENCE
        while got := len(await loop.sock_recv(caller, 8192)):
            taken += got
            if loop.time() < until:
                await asyncio.sleep(PATIENCE / 20)
    return taken


GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
CLOSING = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


@APPS
@LOOPS
@pytest.mark.parametrize("head", [GET, CLOSING], ids=["kept", "closing"])
def test_a_client_that_reads_nothing_is_disconnected(
    app: object, loop: str, head: bytes, hung_up: asyncio.Event
) -> None:
    factory = uvloop.new_event_loop if loop == "uvloop" else None
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(a_caller_who_takes_nothing(app, head, hung_up))


@APPS
@LOOPS
def test_a_client_that_reads_slowly_gets_everything(app: object, loop: str) -> None:
    factory = uvloop.new_event_loop if loop == "uvloop" else None
    with asyncio.Runner(loop_factory=factory) as runner:
        assert runner.run(a_caller_who_takes_little(app, CLOSING)) > WHOLE
