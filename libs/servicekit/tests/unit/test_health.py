"""Readiness: what each role works without, and checks that hang."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from servicekit.http.app import create_app
from servicekit.observe import health
from servicekit.observe.health import CheckState, Health, HealthStatus, Paused
from servicekit.observe.metrics import HttpMetrics


async def up() -> None:
    """It answers."""


async def down() -> None:
    raise OSError("connection refused at 10.0.0.1")


@pytest.mark.parametrize(
    ("database", "broker", "tolerated", "status"),
    [
        (up, up, {"broker"}, HealthStatus.READY),
        (up, down, {"broker"}, HealthStatus.DEGRADED),
        (down, up, {"broker"}, HealthStatus.UNAVAILABLE),
        (down, down, {"broker"}, HealthStatus.UNAVAILABLE),
        (up, down, set(), HealthStatus.UNAVAILABLE),
    ],
)
async def test_readiness_is_what_the_role_tolerates(
    database: health.Check, broker: health.Check, tolerated: set[str], status: HealthStatus
) -> None:
    checks = Health({"database": database, "broker": broker}, tolerated=tolerated)
    assert (await checks.ready()).status is status


async def test_what_a_person_has_paused_is_neither_up_nor_down() -> None:
    async def paused() -> None:
        raise Paused

    view = await Health({"consumer orders.orders": paused}).ready()
    assert view.status is HealthStatus.READY
    assert view.checks["consumer orders.orders"].state is CheckState.PAUSED


@pytest.mark.parametrize(
    ("tolerated", "code", "status"), [({"broker"}, 200, "degraded"), (set(), 503, "unavailable")]
)
async def test_the_status_code_tells_whether_requests_should_come(
    metrics: HttpMetrics, tolerated: set[str], code: int, status: str
) -> None:
    checks = Health({"database": up, "broker": down}, tolerated=tolerated)
    app = create_app(title="t", version="1", description="", health=checks, metrics=metrics)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://t") as client:
        for path in ("/health", "/health/ready"):
            answer = await client.get(path)
            assert answer.status_code == code
            assert answer.json() == {
                "status": status,
                "checks": {"database": {"state": "up"}, "broker": {"state": "down"}},
            }
        assert (await client.get("/health/live")).status_code == 200


async def test_a_check_that_hangs_is_down_in_time_and_is_not_started_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(health, "TIMEOUT", 0.02)
    started, released = 0, asyncio.Event()

    async def hangs() -> None:
        nonlocal started
        started += 1
        await released.wait()

    checks = Health({"database": hangs})
    for _ in range(3):
        assert (await checks.ready()).checks["database"].state is CheckState.DOWN
    assert started == 1
    released.set()
    assert (await checks.ready()).status is HealthStatus.READY
