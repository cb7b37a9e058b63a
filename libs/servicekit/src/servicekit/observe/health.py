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

__all__ = [
    "Check",
    "CheckState",
    "CheckView",
    "Health",
    "HealthStatus",
    "LiveView",
    "Paused",
    "ReadyView",
]

TIMEOUT = 2.0

Check = Callable[[], Awaitable[None]]

logger = structlog.get_logger(__name__)


class Paused(Exception):
    """Raised by a check of something that a person has paused: it does what it should."""


class CheckState(StrEnum):
    UP = "up"
    PAUSED = "paused"
    DOWN = "down"


class HealthStatus(StrEnum):
    READY = "ready"
    DEGRADED = "degraded"
    UNAVAILABLE = "unavailable"


class CheckView(BaseModel):
    state: CheckState


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
    status: HealthStatus
    checks: dict[str, CheckView]


class LiveView(BaseModel):
    status: str = "alive"


class Health:
    """The checks of one process. Without the `tolerated` ones it is `degraded`, with 200."""

    def __init__(self, checks: Mapping[str, Check], *, tolerated: Collection[str] = ()) -> None:
        self._checks = dict(checks)
        self._tolerated = frozenset(tolerated)
        self._running: dict[str, asyncio.Task[CheckState]] = {}
        self._last: dict[str, CheckState] = {}

    async def ready(self) -> ReadyView:
        states = dict(
            zip(self._checks, await asyncio.gather(*map(self._state, self._checks)), strict=True)
        )
        return ReadyView(
            status=self._status(states),
            checks={name: CheckView(state=state) for name, state in states.items()},
        )

    def _status(self, states: Mapping[str, CheckState]) -> HealthStatus:
        down = {name for name, state in states.items() if state is CheckState.DOWN}
        if not down:
            return HealthStatus.READY
        return HealthStatus.DEGRADED if down <= self._tolerated else HealthStatus.UNAVAILABLE

    async def _state(self, name: str) -> CheckState:
        task = self._running.get(name)
        if task is None:
            task = self._running[name] = asyncio.create_task(self._run(name))
            task.add_done_callback(lambda _: self._running.pop(name, None))
        # Not wait_for: it would cancel, and a driver may take longer to cancel than to answer.
        done, _ = await asyncio.wait({task}, timeout=TIMEOUT)
        state = task.result() if done else CheckState.DOWN
        if state is not self._last.get(name, CheckState.UP):
            logger.info("health_changed", check=name, state=state)
        self._last[name] = state
        return state

    async def _run(self, name: str) -> CheckState:
        try:
            await self._checks[name]()
        except Paused:
            return CheckState.PAUSED
        except Exception as error:
            logger.debug("health_check_failed", check=name, reason=str(error))
            return CheckState.DOWN
        return CheckState.UP

    def router(self) -> Router:
        router = Router(tags=["health"], route_class=ProbeRoute)

        @router.get("/health/live", summary="The process runs")
        async def get_liveness() -> LiveView:
            return LiveView()

        async def ready(response: Response) -> ReadyView:
            view = await self.ready()
            response.status_code = 503 if view.status is HealthStatus.UNAVAILABLE else 200
            response.headers["Cache-Control"] = "no-store"
            return view

        unavailable: dict[int | str, dict[str, Any]] = {
            503: {"model": ReadyView, "description": "Something it needs is down."}
        }
        for path, name in (("/health/ready", "get_readiness"), ("/health", "get_health")):
            router.get(path, name=name, summary="It can do its work", responses=unavailable)(ready)
        return router
