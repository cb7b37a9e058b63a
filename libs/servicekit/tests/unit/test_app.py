"""Paths, documentation, metrics, health and traces of an application put together here."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from servicekit.observe import trace

GOOD = {"owner": "o", "amount": "140", "lines": [{"name": "n", "quantity": 1}]}
TOY = "/api/v1/toys/01890000-0000-7000-8000-000000000001"


@pytest.mark.parametrize("path", ["/toys", "/toys/", "/toys/new", "/toys/new/"])
async def test_a_path_works_with_and_without_its_trailing_slash(
    client: httpx.AsyncClient, path: str
) -> None:
    answer = await client.post(f"/api/v1{path}", json=GOOD)
    assert answer.status_code == 201
    assert answer.json()["amount"] == "140.00"
    assert answer.json()["due"] == "2026-05-01T00:00:00.000000Z"


@pytest.mark.parametrize("path", ["%2F", "%2f", "/%2F"])
async def test_an_encoded_slash_at_the_end_is_part_of_the_last_name(
    client: httpx.AsyncClient, path: str
) -> None:
    assert (await client.post(f"/api/v1/toys{path}", json=GOOD)).status_code in (404, 405)


@pytest.mark.parametrize("path", ["/docs", "/docs/", "/redoc", "/redoc/", "/openapi.json"])
async def test_the_documentation_is_there(client: httpx.AsyncClient, path: str) -> None:
    assert (await client.get(path)).status_code == 200


async def test_a_problem_type_leads_to_its_description(client: httpx.AsyncClient) -> None:
    described = (await client.get("/problems/toy_is_broken")).json()
    assert described == {"code": "toy_is_broken", "status": 409, "title": "Toy is broken"}
    assert (await client.get("/problems/unheard_of")).status_code == 404


async def openapi(client: httpx.AsyncClient) -> dict[str, Any]:
    document: dict[str, Any] = (await client.get("/openapi.json")).json()
    return document


async def test_every_operation_documents_its_errors_as_problems(client: httpx.AsyncClient) -> None:
    paths = (await openapi(client))["paths"]
    for path, operations in paths.items():
        for operation in operations.values():
            errors = {s: r for s, r in operation["responses"].items() if s >= "400"}
            if path.startswith("/api/v1"):
                assert "503" in errors
                for response in errors.values():
                    assert list(response["content"]) == ["application/problem+json"]
    assert {"400", "413", "415", "422", "503"} <= set(paths["/api/v1/toys"]["post"]["responses"])
    broken = paths["/api/v1/toys/{toy_id}"]["get"]["responses"]["409"]
    assert "toy_is_broken" in broken["content"]["application/problem+json"]["examples"]


async def test_the_document_has_no_schema_that_is_not_true(client: httpx.AsyncClient) -> None:
    document = await openapi(client)
    assert "HTTPValidationError" not in json.dumps(document)
    schemas = document["components"]["schemas"]
    assert {"Problem", "FieldError"} <= set(schemas)
    references = {
        text.partition('"')[0] for text in json.dumps(document).split("#/components/schemas/")[1:]
    }
    assert references <= set(schemas)


async def test_money_is_documented_as_it_is_given(client: httpx.AsyncClient) -> None:
    schemas = (await openapi(client))["components"]["schemas"]
    assert schemas["ToyView"]["properties"]["amount"]["type"] == "string"
    assert [one["type"] for one in schemas["OrderToy"]["properties"]["amount"]["anyOf"]] == [
        "string",
        "number",
    ]


async def test_requests_are_counted_by_route_not_by_id(client: httpx.AsyncClient) -> None:
    await client.get(TOY)
    await client.get("/api/v1/wp-login.php")
    await client.request("BREW", "/docs")
    text = (await client.get("/metrics")).text
    assert (
        'http_requests_total{method="GET",route="/api/v1/toys/{toy_id}",status="200"} 1.0' in text
    )
    assert 'http_requests_total{method="GET",route="unmatched",status="404"} 1.0' in text
    assert 'method="OTHER",route="/docs",status="405"' in text
    count = 'http_request_duration_seconds_count{method="GET",route="/api/v1/toys/{toy_id}"} 1.0'
    assert count in text


async def test_liveness_and_readiness_are_answered(client: httpx.AsyncClient) -> None:
    assert (await client.get("/health/live")).json() == {"status": "alive"}
    ready = {"status": "ready", "checks": {"database": {"state": "up"}}}
    assert (await client.get("/health/ready/")).json() == ready
    assert (await client.get("/health")).json() == ready


TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.mark.parametrize(
    ("header", "adopted"),
    [
        (f"00-{TRACE_ID}-00f067aa0ba902b7-01", True),
        (f"cc-{TRACE_ID}-00f067aa0ba902b7-01-later", True),
        (f"00-{TRACE_ID}-00f067aa0ba902b7-01-later", False),
        (f"ff-{TRACE_ID}-00f067aa0ba902b7-01", False),
        (f"00-{'0' * 32}-00f067aa0ba902b7-01", False),
        (f"00-{TRACE_ID}-{'0' * 16}-01", False),
        (f"00-{TRACE_ID.upper()}-00f067aa0ba902b7-01", False),
        ("nonsense", False),
        (None, False),
    ],
)
def test_a_valid_traceparent_is_adopted_and_any_other_replaced(
    header: str | None, adopted: bool
) -> None:
    found = trace.adopt(header)
    assert (found.trace_id == TRACE_ID) is adopted
    assert trace.current() == found
    carried = trace.traceparent()
    assert carried is not None
    assert trace.adopt(carried).trace_id == found.trace_id
