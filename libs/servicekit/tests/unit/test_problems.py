"""Errors of the domain, of the database and unexpected ones, as problems."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest
import sqlalchemy.exc
from fastapi import APIRouter

from servicekit.http.app import create_app
from servicekit.http.problems import Problem
from servicekit.http.routing import Router
from servicekit.observe.metrics import HttpMetrics

LogLines = Callable[..., list[dict[str, Any]]]
TOY = "/api/v1/toys/01890000-0000-7000-8000-000000000001"


async def test_a_domain_error_is_answered_by_the_table(client: httpx.AsyncClient) -> None:
    answer = await client.post(f"{TOY}/break")
    assert answer.status_code == 409
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json() == {
        "type": "/problems/toy_is_broken",
        "title": "Toy is broken",
        "status": 409,
        "detail": "The toy 01890000-0000-7000-8000-000000000001 is broken.",
        "instance": f"{TOY}/break",
        "code": "toy_is_broken",
        "allowed": ["mend"],
    }


async def test_an_unexpected_error_is_a_bare_500_and_its_trace_is_in_the_log(
    client: httpx.AsyncClient, log_lines: LogLines
) -> None:
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
    headers = {"traceparent": f"00-{trace_id}-00f067aa0ba902b7-01"}
    answer = await client.get("/api/v1/toys/crashes/bug", headers=headers)
    assert answer.status_code == 500
    assert answer.json()["code"] == "internal_error"
    assert answer.json()["trace_id"] == trace_id
    assert "secret" not in answer.text
    crashed = next(line for line in log_lines() if line["event"] == "request_crashed")
    assert crashed["trace_id"] == trace_id
    assert "SELECT secret" in crashed["exception"]


async def test_a_database_that_is_away_is_a_503_with_retry_after(client: httpx.AsyncClient) -> None:
    answer = await client.get("/api/v1/toys/crashes/database")
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"
    assert answer.json()["code"] == "database_unavailable"
    assert "10.0.0.1" not in answer.text


async def test_a_pool_without_a_free_connection_is_a_503(metrics: HttpMetrics) -> None:
    error = sqlalchemy.exc.TimeoutError("QueuePool limit")
    assert (await answer_to(error, metrics)).status_code == 503


async def test_a_connection_lost_in_the_middle_is_a_503_but_a_bad_statement_a_500(
    metrics: HttpMetrics, log_lines: LogLines
) -> None:
    lost = sqlalchemy.exc.DBAPIError("SELECT 1", {}, Exception("gone"), connection_invalidated=True)
    assert (await answer_to(lost, metrics)).status_code == 503
    bad = sqlalchemy.exc.ProgrammingError("SELEC 1", {}, Exception("syntax error"))
    assert (await answer_to(bad, metrics)).status_code == 500


async def test_a_problem_is_answered_as_it_is(metrics: HttpMetrics) -> None:
    problem = Problem(412, "stale_version", "It is version 3.", headers={"ETag": '"3"'}, version=3)
    answer = await answer_to(problem, metrics)
    assert answer.status_code == 412
    assert answer.headers["etag"] == '"3"'
    assert answer.json()["version"] == 3


async def answer_to(error: Exception, metrics: HttpMetrics) -> httpx.Response:
    router = Router()

    @router.get("/fails")
    async def fails() -> None:
        raise error

    app = create_app(title="t", version="1", description="", routers=[router], metrics=metrics)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://t") as client:
        return await client.get("/api/v1/fails")


def test_a_plain_router_is_refused(metrics: HttpMetrics) -> None:
    router = APIRouter()
    router.get("/plain")(list)
    with pytest.raises(TypeError, match="Router"):
        create_app(title="t", version="1", description="", routers=[router], metrics=metrics)


def test_a_route_declared_with_a_trailing_slash_is_refused(metrics: HttpMetrics) -> None:
    router = Router()
    router.get("/slash/")(list)
    with pytest.raises(ValueError, match="trailing slash"):
        create_app(title="t", version="1", description="", routers=[router], metrics=metrics)
