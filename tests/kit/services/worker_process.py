"""A worker process's background services and its health, without a service around them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import httpx
from fastapi import FastAPI

from outbox import BackgroundService
from servicekit.http.access_rules import AccessRules
from servicekit.process.runtime import Foundation, Service, run_services
from servicekit.process.server import bind


class Reachable:
    """A database that is there, with its schema at head."""

    async def database(self) -> None: ...

    async def migrations(self) -> None: ...


@asynccontextmanager
async def worker(
    operations: FastAPI | None = None, **services: BackgroundService
) -> AsyncIterator[httpx.AsyncClient]:
    """Run a worker process's background services and its health; a client of that."""
    stop, listener = asyncio.Event(), bind("127.0.0.1", 0, variable="PORT")
    service = Service("service-test", "1", cast("Any", None), "DATABASE_URL")
    base = Foundation(service, listener, "PORT", cast("Any", Reachable()), stop, AccessRules())
    port = listener.getsockname()[1]
    running = asyncio.create_task(run_services(base, services, operations=operations))
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            yield client
    finally:
        stop.set()
        await running
