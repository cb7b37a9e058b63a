"""Serving HTTP: the port is bound before anything is built, and answers once all is ready."""

import asyncio
import contextlib
import errno
import socket
from collections.abc import Iterator
from functools import partial
from typing import cast

import structlog
import uvicorn
from starlette.types import ASGIApp

from servicekit.http.protocol import PATIENCE, LimitedProtocol
from servicekit.process.startup_errors import StartupProblem

__all__ = ["bind", "serve"]

BACKLOG = 2048

logger = structlog.get_logger(__name__)


def bind(host: str, port: int, *, variable: str) -> socket.socket:
    """Bind the port without listening on it: connections are refused until `serve` listens.

    Raises StartupProblem naming `variable` if the port or HTTP_HOST cannot be bound.
    """
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError:
        raise StartupProblem(f"HTTP_HOST={host} is not an address of this machine") from None
    bound = socket.socket(family, kind)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError as error:
        bound.close()
        raise _port_problem(error, host, port, variable) from None
    return bound


def _port_problem(error: OSError, host: str, port: int, variable: str) -> StartupProblem:
    if error.errno == errno.EADDRINUSE:
        return StartupProblem(
            f"port {port} on {host} is taken; stop the process that has it or set {variable}"
            f" to a free one (example: {variable}={port + 100})"
        )
    if error.errno == errno.EACCES:
        return StartupProblem(f"{variable}={port} needs privileges; choose a port above 1023")
    return StartupProblem(f"HTTP_HOST={host} cannot be listened on: {error.strerror}")


async def serve(
    app: ASGIApp,
    listener: socket.socket,
    *,
    stop: asyncio.Event,
    variable: str,
    grace: float = 5.0,
    patience: float = PATIENCE,
) -> None:
    """Listen and answer until `stop` is set, then finish what is in flight within `grace` seconds.

    Returns once the last connection is closed; requests still running after `grace` are cancelled.
    Waiters of `?wait=` watch the same `stop` and answer at once. A request that is not complete
    after `patience` seconds is refused; a client that reads nothing for as long is disconnected.
    """
    host, port = listener.getsockname()[:2]
    try:
        # Binding alone does not exclude another binder (SO_REUSEADDR); listening does.
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise _port_problem(error, host, port, variable) from None
    server = _Server(_config(app, grace, patience))
    watcher = asyncio.create_task(_leave_when(stop, server))
    try:
        await server.serve(sockets=[listener])
    finally:
        watcher.cancel()
        listener.close()


def _config(app: ASGIApp, grace: float, patience: float) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=cast("type[asyncio.Protocol]", partial(LimitedProtocol, patience=patience)),
        lifespan="off",
        ws="none",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_keep_alive=65,
        timeout_graceful_shutdown=max(1, round(grace)),
    )


async def _leave_when(stop: asyncio.Event, server: uvicorn.Server) -> None:
    await stop.wait()
    server.should_exit = True


class _Server(uvicorn.Server):
    """Uvicorn without its own signal handling: the process decides when to stop."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        for listener in sockets or ():
            host, port = listener.getsockname()[:2]
            logger.info("listening", host=host, port=port)
