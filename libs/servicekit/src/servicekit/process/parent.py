"""Several API processes on one port, and the parent that starts and watches them.

Each child listens on a socket of its own (SO_REUSEPORT), so the kernel spreads the connections. The
parent holds all of these sockets: a connection that waits while a child ends is accepted by the one
that is started next. Each child reads a pipe that the parent never writes to: its end is the order
to stop, so children also stop when the parent is killed. See decision 1714.
"""

import asyncio
import atexit
import os
import shutil
import socket
import sys
from functools import partial
from tempfile import TemporaryDirectory

import structlog
from prometheus_client.multiprocess import mark_process_dead

from outbox.delays import ReconnectDelay
from outbox.supervise import outlive
from servicekit.observe.metrics import METRICS

__all__ = ["GRACE", "Parent", "inherited_listener", "is_child"]

GRACE = 10.0
"""Seconds for a child to finish what is in flight, with the end of its connections to servers."""
SLOWEST_RESTART = 3.0
"""Seconds. Until then the connections that the kernel gave to a child wait for the next one."""
LISTENER = "INHERITED_LISTENER"

logger = structlog.get_logger(__name__)


class ChildEnded(Exception):
    """A child has ended although nobody stopped the service."""

    def __init__(self, pid: int, status: int) -> None:
        super().__init__(f"the API process {pid} ended with status {status}")
        self.pid, self.status = pid, status


class Parent:
    """Runs `processes` children, each with this process' own command, until `stop` is set.

    They take over the address of `listener`. It excludes others, as SO_REUSEPORT alone does not.
    """

    def __init__(self, listener: socket.socket, processes: int, stop: asyncio.Event) -> None:
        self._stop = stop
        self._listeners = [_of_same_address(listener) for _ in range(processes)]
        listener.close()

    async def run(self) -> None:
        """Return when all children have ended. One that ends before `stop` is started again."""
        lifeline, held = os.pipe()
        with TemporaryDirectory(prefix="api-metrics-") as metrics:
            try:
                async with asyncio.TaskGroup() as group:
                    for listener in self._listeners:
                        run_child = partial(self._run_child, listener, lifeline, metrics)
                        delay = ReconnectDelay(SLOWEST_RESTART).after_failure
                        group.create_task(outlive(run_child, _log, self._stop, delay))
                    await self._stop.wait()
                    for listener in self._listeners:
                        listener.close()
                    os.close(held)
            finally:
                os.close(lifeline)

    async def _run_child(self, listener: socket.socket, lifeline: int, metrics: str) -> None:
        """Start a child and wait for its end; raise ChildEnded unless it was told to stop."""
        descriptor = listener.fileno()
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            *sys.orig_argv[1:],
            stdin=lifeline,
            pass_fds=(descriptor,),
            env={**os.environ, LISTENER: str(descriptor), METRICS: metrics},
        )
        try:
            status = await self._end_of(child)
        finally:
            mark_process_dead(child.pid, metrics)  # type: ignore[no-untyped-call]
        if not self._stop.is_set():
            raise ChildEnded(child.pid, status)

    async def _end_of(self, child: asyncio.subprocess.Process) -> int:
        """Wait for its end; after `stop` at most GRACE seconds, then kill it."""
        ended = asyncio.create_task(child.wait())
        stopped = asyncio.create_task(self._stop.wait())
        await asyncio.wait({ended, stopped}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        await asyncio.wait({ended}, timeout=GRACE)
        if not ended.done():
            logger.error("api_process_killed", pid=child.pid, after=GRACE)
            child.kill()
        return await ended


def _of_same_address(bound: socket.socket) -> socket.socket:
    listener = socket.socket(bound.family, bound.type)
    for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
        listener.setsockopt(socket.SOL_SOCKET, option, 1)
    listener.bind(bound.getsockname())
    return listener


def _log(problem: Exception) -> None:
    if isinstance(problem, ChildEnded):
        logger.error("api_process_ended", pid=problem.pid, status=problem.status)
    else:
        logger.error("api_process_not_started", reason=str(problem))


def is_child() -> bool:
    """Whether a `Parent` has started this process."""
    return LISTENER in os.environ


def inherited_listener(stop: asyncio.Event) -> socket.socket | None:
    """In a child, return its socket; `stop` is set when the parent says so or ends."""
    if not is_child():
        return None
    loop, lifeline = asyncio.get_running_loop(), sys.stdin.fileno()

    def end() -> None:
        loop.remove_reader(lifeline)
        stop.set()

    loop.add_reader(lifeline, end)
    atexit.register(_remove_metrics_of_an_orphan, os.getppid())
    return socket.socket(fileno=int(os.environ[LISTENER]))


def _remove_metrics_of_an_orphan(parent: int) -> None:
    if os.getppid() != parent:
        shutil.rmtree(os.environ[METRICS], ignore_errors=True)
