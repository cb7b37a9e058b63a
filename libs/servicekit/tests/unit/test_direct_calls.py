"""An endpoint that is called directly answers as it would if the framework called it."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Annotated
from uuid import UUID

import httpx
import pytest
from fastapi import Depends, Header, Query, Request
from fastapi.routing import iter_route_contexts
from pydantic import BaseModel, Field
from starlette.responses import Response

from kit.http.hostile import (
    CONTENT_TYPES,
    NOT_AN_OBJECT,
    NOT_JSON,
    UNSTORABLE,
    WRONG_MONEY,
    WRONG_QUANTITIES,
    WRONG_TEXTS,
    WRONG_WAITS,
    an_object,
)
from servicekit.http.app import ServiceApp, create_app
from servicekit.http.direct_calls import DirectCall, Unusual
from servicekit.http.fields import IntId, Money, Text, UuidId, WaitSeconds, Whole
from servicekit.http.pagination import Page, PageQuery
from servicekit.http.problems import Problem
from servicekit.http.routing import Router
from servicekit.observe.metrics import HttpMetrics

THING = "/api/v1/things/01890000-0000-7000-8000-000000000001"
JSON = {"content-type": "application/json"}


class Wanted(BaseModel):
    name: Annotated[str, Text(1, 20)]
    quantity: Annotated[int, Whole(1, 10)] = 1
    amount: Money
    tags: list[str] = Field(default_factory=list, max_length=3)


class View(Wanted):
    id: UUID
    seen: list[str]


class MoreThanView(View):
    secret: str = "not shown"


async def caller(request: Request) -> str:
    if request.headers.get("x-caller") == "nobody":
        raise Problem(403, "unknown_caller", "Nobody may not call.")
    return request.headers.get("x-caller", "somebody")


async def signed(
    who: Annotated[str, Depends(caller)],
    key: Annotated[str | None, Header(alias="X-Key", min_length=2, max_length=5)] = None,
) -> str:
    return f"{who} {key}"


Caller = Annotated[str, Depends(caller)]
Signed = Annotated[str, Depends(signed)]


def things() -> Router:
    router = Router(prefix="/things")

    @router.post("/{thing_id}", status_code=201)
    async def change(
        thing_id: UuidId, body: Wanted, signature: Signed, who: Caller, wait: WaitSeconds = 0
    ) -> View:
        seen = [signature, who, str(wait)]
        return MoreThanView(id=thing_id, seen=seen, **body.model_dump())

    @router.get("")
    async def listed(page: PageQuery, kind: str, sure: bool = False) -> Page[View]:
        seen = [str(page.limit), str(page.cursor), kind, str(sure)]
        view = View(id=UUID(int=0), name="n", amount=Decimal(1), seen=seen)
        return Page(items=[view], next_cursor=None)

    @router.get("/numbered/{number}")
    async def numbered(number: IntId, x_key: Annotated[int, Header()]) -> dict[str, int]:
        return {"number": number, "key": x_key}

    @router.post("/any")
    async def anything(body: list[int] | None) -> list[int] | None:
        return body

    @router.get("/wrong")
    async def wrong() -> View:
        return {"id": "no"}  # type: ignore[return-value]

    @router.delete("/{thing_id}", status_code=204)
    async def removed(thing_id: UUID) -> Response:
        return Response(status_code=204, headers={"X-Removed": str(thing_id)})

    @router.put("/{thing_id}/seen", status_code=204)
    async def marked(thing_id: UUID) -> None: ...

    return router


@pytest.fixture
def app(metrics: HttpMetrics) -> ServiceApp:
    return create_app(title="t", version="1", description="", routers=[things()], metrics=metrics)


def body(**changes: str) -> bytes:
    return an_object({"name": '"n"', "quantity": "1", "amount": '"1.00"'} | changes)


BODIES = [
    body(),
    body(tags='["a","b"]'),
    body(tags="[1,2,3,4]"),
    body(more="1"),
    b"",
    b"null",
    b"{}",
    *(content for _, content in NOT_JSON),
    *(text.encode() for _, text in NOT_AN_OBJECT),
    *(body(tags="[" + text + "]") for _, text in UNSTORABLE),
    *(body(name=text) for _, text in WRONG_TEXTS),
    *(body(amount=text) for _, text in WRONG_MONEY),
    *(body(quantity=text) for _, text in WRONG_QUANTITIES),
]
REQUESTS = [
    *(("POST", THING, content, JSON) for content in BODIES),
    *(("POST", THING, body(), {"content-type": one}) for one in CONTENT_TYPES),
    *(("POST", f"{THING}?wait={wait}", body(), JSON) for wait in ["2.5", *WRONG_WAITS]),
    *(("POST", THING, body(), {**JSON, "x-key": key}) for key in ("", "k", "key", "too long")),
    *(("POST", THING, body(name="1"), {**JSON, "x-caller": one}) for one in ("a", "nobody")),
    ("POST", THING + "1?wait=x", body(name="1"), {**JSON, "x-key": "too long"}),
    ("POST", "/api/v1/things/any", b"[1]", JSON),
    ("POST", "/api/v1/things/any", b"null", JSON),
    ("POST", "/api/v1/things/any", b"", {}),
    *(
        ("GET", f"/api/v1/things?{query}", b"", {})
        for query in (
            *("kind=a", "kind=a&sure=1&limit=3", "kind=a&sure=maybe", "", "kind=a&kind=b"),
            *("kind=a&limit=0&cursor=", "limit=x", "kind=%F0%9F%8D%8E", "kind=a&skip=1", "kind"),
        )
    ),
    *(("GET", "/api/v1/things/numbered/" + one, b"", {"x-key": "7"}) for one in ("1", "0", "x")),
    *(("GET", "/api/v1/things/numbered/1", b"", h) for h in ({}, {"x-key": "x"})),
    ("GET", "/api/v1/things/numbered/1/", b"", {"x-key": "7"}),
    ("GET", "/api/v1/things/numbered/1%2F2", b"", {"x-key": "7"}),
    ("GET", "/api/v1/things?kind=a", b"{}", JSON),
    ("GET", "/api/v1/things?kind=a", b"[1]", JSON),
    ("HEAD", "/api/v1/things?kind=a", b"", {}),
    ("DELETE", THING, b"", {}),
    ("DELETE", "/api/v1/things/x", b"", {}),
    ("PUT", THING, b"", {}),
    ("PUT", f"{THING}/seen", b"", {}),
    ("GET", "/api/v1/things/wrong", b"", {}),
    ("GET", "/api/v1/things/any", b"", {}),
    ("GET", "/api/v1/things%0A", b"", {}),
]


async def test_answers_and_errors_are_the_frameworks_own(app: ServiceApp) -> None:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://t") as http:
        for method, url, content, headers in REQUESTS:
            trace = {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}
            answers = []
            for overrides in ({}, {things: things}):  # with any, the framework is asked
                app.dependency_overrides = overrides
                one = await http.request(method, url, content=content, headers=headers | trace)
                answers.append((one.status_code, sorted(one.headers.multi_items()), one.content))
            assert answers[0] == answers[1], (method, url, content, headers)


def test_the_usual_endpoints_are_called_directly(app: ServiceApp) -> None:
    for context in iter_route_contexts(app.routes):
        if (context.path or "").startswith("/api/v1/"):
            DirectCall(context)


def unusual() -> Router:
    router = Router()

    async def opened() -> str:
        return "open"

    def blocking() -> None: ...
    async def with_header(response: Response) -> None: ...
    async def with_list(many: Annotated[list[str], Query()]) -> None: ...
    async def with_two(one: Wanted, two: Wanted) -> None: ...
    async def uncached(text: Annotated[str, Depends(opened, use_cache=False)]) -> None: ...

    for endpoint in (blocking, with_header, with_list, with_two, uncached):
        router.post(f"/{endpoint.__name__}")(endpoint)
    return router


def test_an_unusual_endpoint_is_left_to_the_framework(metrics: HttpMetrics) -> None:
    app = create_app(title="t", version="1", description="", routers=[unusual()], metrics=metrics)
    left = 0
    for context in iter_route_contexts(app.routes):
        if (context.path or "").startswith("/api/v1/"):
            with pytest.raises(Unusual):
                DirectCall(context)
            left += 1
    assert left == 5


@pytest.mark.parametrize("path", ["/a/fixed", "/a/b", "/late", "/files/x/y", "/b/c", "/never"])
async def test_the_first_route_that_matches_is_asked(metrics: HttpMetrics, path: str) -> None:
    router = Router()
    for number, template in enumerate(
        ("/a/{any}", "/a/fixed", "/late", "/{some}", "/files/{all:path}", "/files/x/y", "/b/{any}")
    ):
        router.add_api_route(template, _numbered(number), name=f"n{number}")
    app = create_app(title="t", version="1", description="", routers=[router], metrics=metrics)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://t") as http:
        ours = await http.get(f"/api/v1{path}")
        app.dependency_overrides = {things: things}
        theirs = await http.get(f"/api/v1{path}")
    assert (ours.status_code, ours.content) == (theirs.status_code, theirs.content)


def _numbered(number: int) -> Callable[[], object]:
    async def endpoint() -> int:
        return number

    return endpoint
