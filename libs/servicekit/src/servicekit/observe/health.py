"""Is the process alive, and can it do its work: /health/live, /health/ready and /health.

A check is an async callable that returns if the thing is up and raises if it is not. Checks run
side by side and have two seconds. One that hangs counts as down and is left running; it is not
started a second time meanwhile.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from enum import StrEnum
from typing import Any

import structlog
from fastapi import Response
from pydantic import BaseModel, ConfigDict

from servicekit.http.routing import ProbeRoute, Router

__all__ = ["Check", "CheckView", "Health", "Live", "ReadyView", "State", "Status"]

TIMEOUT = 2.0

Check = Callable[[], Awaitable[None]]

logger = structlog.get_logger(__name__)


class State(StrEnum):
    UP = "up"
    DOWN = "down"


class Status(StrEnum):
    READY = "ready"
    DEGRADED = "degraded"
    UNAVAILABLE = "unavailable"


class CheckView(BaseModel):
    state: State


class ReadyView(BaseModel):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "status": "ready",
                    "checks": {
                        "database": {"state": "up"},
                        "broker": {"state": "up"},
                        "migrations": {"state": "up"},
                    },
                }
            ]
        }
    )
    status: Status
    checks: dict[str, CheckView]


class Live(BaseModel):
    status: str = "alive"


class Health:
    """The checks of one process. Without the `tolerated` ones it is `degraded`, with 200."""

    def __init__(self, checks: Mapping[str, Check], *, tolerated: Collection[str] = ()) -> None:
        self._checks = dict(checks)
        self._tolerated = frozenset(tolerated)
        self._running: dict[str, asyncio.Task[State]] = {}
        self._last: dict[str, State] = {}

    async def ready(self) -> ReadyView:
        states = dict(
            zip(self._checks, await asyncio.gather(*map(self._state, self._checks)), strict=True)
        )
        return ReadyView(
            status=self._status(states),
            checks={name: CheckView(state=state) for name, state in states.items()},
        )

    def _status(self, states: Mapping[str, State]) -> Status:
        down = {name for name, state in states.items() if state is State.DOWN}
        if not down:
            return Status.READY
        return Status.DEGRADED if down <= self._tolerated else Status.UNAVAILABLE

    async def _state(self, name: str) -> State:
        task = self._running.get(name)
        if task is None:
            task = self._running[name] = asyncio.create_task(self._run(name))
            task.add_done_callback(lambda _: self._running.pop(name, None))
        # Not wait_for: it would cancel, and a driver may take longer to cancel than to answer.
        done, _ = await asyncio.wait({task}, timeout=TIMEOUT)
        state = task.result() if done else State.DOWN
        if state is not self._last.get(name, State.UP):
            logger.info("health_changed", check=name, state=state)
        self._last[name] = state
        return state

    async def _run(self, name: str) -> State:
        try:
            await self._checks[name]()
        except Exception as error:
            logger.debug("health_check_failed", check=name, reason=str(error))
            return State.DOWN
        return State.UP

    def router(self) -> Router:
        router = Router(tags=["health"], route_class=ProbeRoute)

        @router.get("/health/live", summary="The process runs")
        async def live() -> Live:
            return Live()

        async def ready(response: Response) -> ReadyView:
            view = await self.ready()
            response.status_code = 503 if view.status is Status.UNAVAILABLE else 200
            response.headers["Cache-Control"] = "no-store"
            return view

        unavailable: dict[int | str, dict[str, Any]] = {
            503: {"model": ReadyView, "description": "Something it needs is down."}
        }
        for path, name in (("/health/ready", "ready"), ("/health", "health")):
            router.get(path, name=name, summary="It can do its work", responses=unavailable)(ready)
        return router
