"""Whatever is sent, the answer is a 4xx problem: complete, of the right type, without an echo."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from kit.http.hostile import (
    CONTENT_TYPES,
    NOT_AN_OBJECT,
    NOT_JSON,
    TOO_MUCH,
    UNSTORABLE,
    WRONG_MONEY,
    WRONG_QUANTITIES,
    WRONG_TEXTS,
    WRONG_WAITS,
    an_object,
    assert_problem,
    invalid,
)

GOOD = '{"owner":"o","amount":"1.00","lines":[{"name":"n","quantity":1}]}'
TOY = "/api/v1/toys/01890000-0000-7000-8000-000000000001"
JSON = {"content-type": "application/json"}


def body(**changes: str) -> bytes:
    """The good body with members replaced by raw JSON text."""
    members = {"owner": '"o"', "amount": '"1.00"', "lines": '[{"name":"n","quantity":1}]'}
    return an_object(members | changes)


def line(**changes: str) -> bytes:
    members = {"name": '"n"', "quantity": "1"} | changes
    return body(lines="[" + an_object(members).decode() + "]")


OTHERS: tuple[tuple[str, bytes], ...] = (
    ("nothing", b""),
    ("no lines", body(lines="[]")),
    ("a time as a number", body(due="1767225600")),
    ("a time out of range", body(due='"0001-01-01T00:00:00+14:00"')),
    ("no time", body(due='"tomorrow"')),
    ("50,000 wrong lines", body(lines="[" + ",".join(["0"] * 50_000) + "]")),
)
POSTS: list[tuple[str, bytes, int, str]] = [
    *((name, content, 400, "malformed_json") for name, content in NOT_JSON),
    *invalid(OTHERS),
    *invalid(TOO_MUCH),
    *invalid((name, text.encode()) for name, text in NOT_AN_OBJECT),
    *invalid((name, body(notes='{"a":' + text + "}")) for name, text in UNSTORABLE),
    *invalid((name, body(owner=text)) for name, text in WRONG_TEXTS),
    *invalid((name, body(amount=text)) for name, text in WRONG_MONEY),
    *invalid((name, line(quantity=text)) for name, text in WRONG_QUANTITIES),
    ("2 MiB", body(owner='"' + "x" * 2**21 + '"'), 413, "body_too_large"),
]

GETS: list[tuple[str, str, int, str]] = [
    ("no such path", "/api/v1/nothing", 404, "not_found"),
    ("two trailing slashes", "/api/v1/toys//", 404, "not_found"),
    ("a path that climbs", "/api/v1/toys/../../etc/passwd", 404, "not_found"),
    ("an id that is no UUID", "/api/v1/toys/abc", 422, "validation_failed"),
    ("an id with a NUL", "/api/v1/toys/%00", 422, "validation_failed"),
    ("an id that is no UTF-8", "/api/v1/toys/%ff", 422, "validation_failed"),
    ("a surrogate in a path", "/api/v1/toys/%ed%a0%80", 422, "validation_failed"),
    ("an id past 64 bits", "/api/v1/toys/numbered/9223372036854775808", 422, "validation_failed"),
    ("an id of 5,000 digits", "/api/v1/toys/numbered/" + "9" * 5000, 422, "validation_failed"),
    ("an id of 0", "/api/v1/toys/numbered/0", 422, "validation_failed"),
    ("a NUL in a query", "/api/v1/toys?owner=%00", 422, "validation_failed"),
    ("no UTF-8 in a query", "/api/v1/toys?owner=%ff", 422, "validation_failed"),
    ("a surrogate in a query", "/api/v1/toys?owner=%ed%a0%80", 422, "validation_failed"),
    ("no UTF-8 anywhere", "/%c3%28", 422, "validation_failed"),
    ("a parameter twice", "/api/v1/toys?owner=a&owner=a", 422, "validation_failed"),
    *(
        (f"an id spelled {spelled}", f"/api/v1/toys/numbered/{spelled}", 422, "validation_failed")
        for spelled in ("1_0", "+1", "%201", "1%20", "01", "1.0", "1e1", "0x1", "%D9%A1")
    ),
    *(
        (f"a UUID spelled {spelled[:9]}", f"/api/v1/toys/{spelled}", 422, "validation_failed")
        for spelled in (
            "{01890000-0000-7000-8000-000000000001}",
            "urn:uuid:01890000-0000-7000-8000-000000000001",
            "01890000000070008000000000000001",
            "0189-00000000-7000-8000-000000000001",
        )
    ),
    ("an unknown value", "/api/v1/toys?status=blue", 422, "validation_failed"),
    ("an empty value", "/api/v1/toys?status=", 422, "validation_failed"),
    *(
        (f"wait {wait or 'nothing'}", f"{TOY}?wait={wait}", 422, "validation_failed")
        for wait in WRONG_WAITS
    ),
]


@pytest.mark.parametrize(
    ("content", "status", "code"), [p[1:] for p in POSTS], ids=[p[0] for p in POSTS]
)
async def test_a_hostile_body_is_refused(
    client: httpx.AsyncClient, content: bytes, status: int, code: str
) -> None:
    answer = await client.post("/api/v1/toys/new/", content=content, headers=JSON)
    assert_problem(answer, status, code)


@pytest.mark.parametrize(("url", "status", "code"), [g[1:] for g in GETS], ids=[g[0] for g in GETS])
async def test_a_hostile_address_is_refused(
    client: httpx.AsyncClient, url: str, status: int, code: str
) -> None:
    assert_problem(await client.get(url), status, code)


@pytest.mark.parametrize("content_type", CONTENT_TYPES)
async def test_another_content_type_is_refused(
    client: httpx.AsyncClient, content_type: str
) -> None:
    answer = await client.post("/api/v1/toys", content=GOOD, headers={"content-type": content_type})
    assert_problem(answer, 415, "unsupported_media_type")


async def test_a_body_without_a_content_type_is_refused(client: httpx.AsyncClient) -> None:
    answer = await client.post("/api/v1/toys", content=GOOD)
    assert_problem(answer, 415, "unsupported_media_type")


async def test_a_compressed_body_is_refused(client: httpx.AsyncClient) -> None:
    headers = {**JSON, "content-encoding": "gzip"}
    answer = await client.post("/api/v1/toys", content=b"\x1f\x8b", headers=headers)
    assert_problem(answer, 415, "unsupported_media_type")


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "Application/JSON"])
async def test_another_spelling_of_the_json_type_is_accepted(
    client: httpx.AsyncClient, content_type: str
) -> None:
    answer = await client.post("/api/v1/toys", content=GOOD, headers={"content-type": content_type})
    assert answer.status_code == 201


async def test_a_chunked_body_without_a_length_is_limited_too(client: httpx.AsyncClient) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b" " * 65536

    answer = await client.post("/api/v1/toys", content=chunks(), headers=JSON)
    assert_problem(answer, 413, "body_too_large")


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "TRACE", "BREW"])
async def test_another_method_is_refused_and_the_allowed_ones_are_named(
    client: httpx.AsyncClient, method: str
) -> None:
    answer = await client.request(method, "/api/v1/toys/")
    assert_problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "GET, HEAD, POST"


@pytest.mark.parametrize(
    "query", ["skip=50", "page[size]=10", "status=old&utm_source=x", "%73kip="]
)
async def test_an_unknown_query_parameter_is_refused(client: httpx.AsyncClient, query: str) -> None:
    answer = await client.get(f"/api/v1/toys?{query}")
    problem = assert_problem(answer, 422, "unknown_parameter")
    assert "known here: owner, status" in problem["detail"]


async def test_an_endpoint_without_parameters_accepts_none(
    client: httpx.AsyncClient,
) -> None:
    for path in ("/api/v1/toys/numbered/1", "/docs", "/"):
        assert_problem(await client.get(f"{path}?x=1"), 422, "unknown_parameter")


async def test_probes_and_scrapers_may_add_parameters(client: httpx.AsyncClient) -> None:
    for path in ("/health", "/health/live", "/health/ready", "/metrics"):
        assert (await client.get(f"{path}?x=1&x=2")).status_code == 200


async def test_ten_thousand_unknown_parameters_are_refused_in_few_words(
    client: httpx.AsyncClient,
) -> None:
    query = "&".join(f"a{number}" for number in range(10_000))
    assert_problem(await client.get(f"/api/v1/toys?{query}"), 422, "unknown_parameter")


@pytest.mark.parametrize("path", ["/break", "/break/"])
@pytest.mark.parametrize("body", [b"a=b", b"<a/>", b"\x00"])
async def test_a_form_is_refused_where_no_body_belongs(
    client: httpx.AsyncClient, path: str, body: bytes
) -> None:
    headers = {"content-type": "application/x-www-form-urlencoded"}
    answer = await client.post(TOY + path, content=body, headers=headers)
    assert_problem(answer, 415, "unsupported_media_type")


async def test_a_body_is_refused_where_none_belongs(client: httpx.AsyncClient) -> None:
    answer = await client.post(f"{TOY}/break", content=b'{"a":1}', headers=JSON)
    assert_problem(answer, 400, "unexpected_body")
    answer = await client.request("GET", TOY, content=b"{", headers=JSON)
    assert_problem(answer, 400, "malformed_json")


@pytest.mark.parametrize("body", [b"", b"{}", b" null "])
async def test_empty_json_is_accepted_where_no_body_belongs(
    client: httpx.AsyncClient, body: bytes
) -> None:
    answer = await client.post(f"{TOY}/break", content=body, headers=JSON)
    assert_problem(answer, 409, "toy_is_broken")


@pytest.mark.parametrize(
    "parameters", ["charset=utf-8; charset=utf-16", "charset=utf-8;charset=utf-8"]
)
async def test_a_charset_is_given_once(client: httpx.AsyncClient, parameters: str) -> None:
    headers = {"content-type": f"application/json; {parameters}"}
    answer = await client.post("/api/v1/toys", content=GOOD, headers=headers)
    assert_problem(answer, 415, "unsupported_media_type")


@pytest.mark.parametrize("charset", ["utf-16", "iso-8859-1", '"utf-16"', "utf-8-sig"])
async def test_another_charset_is_refused(client: httpx.AsyncClient, charset: str) -> None:
    headers = {"content-type": f"application/json; charset={charset}"}
    answer = await client.post("/api/v1/toys", content=GOOD, headers=headers)
    assert_problem(answer, 415, "unsupported_media_type")


async def test_the_field_that_is_wrong_is_named(client: httpx.AsyncClient) -> None:
    answer = await client.post("/api/v1/toys", content=line(quantity="0"), headers=JSON)
    assert [error["field"] for error in answer.json()["errors"]] == ["lines.0.quantity"]
    answer = await client.post("/api/v1/toys", content=line(name='"\\u0000"'), headers=JSON)
    assert [error["field"] for error in answer.json()["errors"]] == ["lines.0.name"]
