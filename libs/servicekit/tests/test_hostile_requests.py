"""Whatever is sent, the answer is a 4xx problem: complete, of the right type, without an echo."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

GOOD = '{"owner":"o","amount":"1.00","lines":[{"name":"n","quantity":1}]}'
TOY = "/api/v1/toys/01890000-0000-7000-8000-000000000001"
JSON = {"content-type": "application/json"}


def body(**changes: str) -> bytes:
    """The good body with members replaced by raw JSON text."""
    members = {"owner": '"o"', "amount": '"1.00"', "lines": '[{"name":"n","quantity":1}]'}
    members |= changes
    return ("{" + ",".join(f'"{key}":{text}' for key, text in members.items()) + "}").encode()


def line(**changes: str) -> bytes:
    members = {"name": '"n"', "quantity": "1"} | changes
    text = ",".join(f'"{key}":{value}' for key, value in members.items())
    return body(lines="[{" + text + "}]")


POSTS: list[tuple[str, bytes, int, str]] = [
    ("nothing", b"", 422, "validation_failed"),
    ("half an object", b"{", 400, "malformed_json"),
    ("two values", b"{}{}", 400, "malformed_json"),
    ("a trailing comma", b'{"owner":"o",}', 400, "malformed_json"),
    ("single quotes", b"{'owner':'o'}", 400, "malformed_json"),
    ("bytes that are no UTF-8", b'{"owner":"\xff"}', 400, "malformed_json"),
    ("a raw surrogate", b'{"owner":"\xed\xa0\x80"}', 400, "malformed_json"),
    ("an overlong encoding", b'{"owner":"\xc0\x80"}', 400, "malformed_json"),
    ("UTF-16", GOOD.encode("utf-16"), 400, "malformed_json"),
    ("a byte order mark", b"\xef\xbb\xbf" + GOOD.encode(), 400, "malformed_json"),
    ("a raw NUL", b'{"owner":"\x00"}', 400, "malformed_json"),
    ("a raw newline in a string", b'{"owner":"\n"}', 400, "malformed_json"),
    ("a bad escape", b'{"owner":"\\x00"}', 400, "malformed_json"),
    ("deep arrays", b"[" * 200_000, 400, "malformed_json"),
    ("deep objects", b'{"a":' * 100_000, 400, "malformed_json"),
    ("null", b"null", 422, "validation_failed"),
    ("an array", b"[]", 422, "validation_failed"),
    ("a string", b'"text"', 422, "validation_failed"),
    ("an escaped NUL", body(owner='"\\u0000"'), 422, "validation_failed"),
    ("a lone high surrogate", body(owner='"\\ud800"'), 422, "validation_failed"),
    ("a lone low surrogate", body(owner='"\\udc00x"'), 422, "validation_failed"),
    ("surrogates in the wrong order", body(owner='"\\udc00\\ud800"'), 422, "validation_failed"),
    ("a NUL in a name", body(notes='{"\\u0000":1}'), 422, "validation_failed"),
    ("a surrogate deep inside", body(notes='{"a":[{"b":"\\ud800"}]}'), 422, "validation_failed"),
    ("2^63 where anything goes", body(notes='{"a":9223372036854775808}'), 422, "validation_failed"),
    ("-2^63-1", body(notes='{"a":-9223372036854775809}'), 422, "validation_failed"),
    ("5,000 digits", body(notes='{"a":' + "9" * 5000 + "}"), 422, "validation_failed"),
    ("a huge exponent", body(notes='{"a":1e999999999}'), 422, "validation_failed"),
    ("NaN", body(amount="NaN"), 422, "validation_failed"),
    ("Infinity", body(amount="Infinity"), 422, "validation_failed"),
    ("-Infinity", body(amount="-Infinity"), 422, "validation_failed"),
    ("the word NaN", body(amount='"NaN"'), 422, "validation_failed"),
    ("money as a boolean", body(amount="true"), 422, "validation_failed"),
    ("money as a list", body(amount="[1]"), 422, "validation_failed"),
    ("three decimals", body(amount="0.001"), 422, "validation_failed"),
    ("a float's tail", body(amount="0.30000000000000004"), 422, "validation_failed"),
    ("negative money", body(amount="-0.01"), 422, "validation_failed"),
    ("10^10", body(amount="10000000000"), 422, "validation_failed"),
    ("an exponent in a string", body(amount='"1e2"'), 422, "validation_failed"),
    ("an underscore in a string", body(amount='"1_0"'), 422, "validation_failed"),
    ("Arabic digits", body(amount='"١٢"'), 422, "validation_failed"),
    ("a blank before money", body(amount='" 1"'), 422, "validation_failed"),
    ("an empty string", body(owner='""'), 422, "validation_failed"),
    ("256 characters", body(owner='"' + "x" * 256 + '"'), 422, "validation_failed"),
    ("a number for a string", body(owner="1"), 422, "validation_failed"),
    ("no lines", body(lines="[]"), 422, "validation_failed"),
    ("quantity 0", line(quantity="0"), 422, "validation_failed"),
    ("quantity 1.0", line(quantity="1.0"), 422, "validation_failed"),
    ("quantity true", line(quantity="true"), 422, "validation_failed"),
    ("quantity as a string", line(quantity='"1"'), 422, "validation_failed"),
    ("quantity 10^30", line(quantity="1" + "0" * 30), 422, "validation_failed"),
    ("a time as a number", body(due="1767225600"), 422, "validation_failed"),
    ("a time out of range", body(due='"0001-01-01T00:00:00+14:00"'), 422, "validation_failed"),
    ("no time", body(due='"tomorrow"'), 422, "validation_failed"),
    (
        "50,000 wrong lines",
        body(lines="[" + ",".join(["0"] * 50_000) + "]"),
        422,
        "validation_failed",
    ),
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
    ("an unknown value", "/api/v1/toys?status=blue", 422, "validation_failed"),
    ("an empty value", "/api/v1/toys?status=", 422, "validation_failed"),
    ("wait in words", f"{TOY}?wait=long", 422, "validation_failed"),
    ("wait without a value", f"{TOY}?wait=", 422, "validation_failed"),
    ("a negative wait", f"{TOY}?wait=-1", 422, "validation_failed"),
    ("wait 31", f"{TOY}?wait=31", 422, "validation_failed"),
    ("wait NaN", f"{TOY}?wait=nan", 422, "validation_failed"),
    ("wait infinite", f"{TOY}?wait=inf", 422, "validation_failed"),
    ("wait 1e400", f"{TOY}?wait=1e400", 422, "validation_failed"),
]

CONTENT_TYPES = (
    "application/x-www-form-urlencoded",
    "text/plain",
    "application/xml",
    "json",
    "/",
    "",
)


def assert_problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert (answer.status_code, problem["code"]) == (status, code), problem
    assert problem["status"] == status
    assert problem["type"] == f"/problems/{code}"
    assert problem["instance"].startswith("/")
    assert problem["title"]
    assert problem["detail"]
    assert len(answer.content) < 10_000
    if status == 422:
        assert all(set(error) == {"field", "message"} for error in problem["errors"])
        assert problem["errors"]
    return problem


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
async def test_json_by_another_spelling_is_taken(
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
async def test_another_method_is_refused_with_all_that_are_allowed(
    client: httpx.AsyncClient, method: str
) -> None:
    answer = await client.request(method, "/api/v1/toys/")
    assert_problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "GET, POST"


async def test_an_unknown_query_parameter_is_ignored(client: httpx.AsyncClient) -> None:
    assert (await client.get("/api/v1/toys?utm_source=x&status=old")).json() == ["", "old"]


async def test_the_field_that_is_wrong_is_named(client: httpx.AsyncClient) -> None:
    answer = await client.post("/api/v1/toys", content=line(quantity="0"), headers=JSON)
    assert [error["field"] for error in answer.json()["errors"]] == ["lines.0.quantity"]
    answer = await client.post("/api/v1/toys", content=line(name='"\\u0000"'), headers=JSON)
    assert [error["field"] for error in answer.json()["errors"]] == ["lines.0.name"]
