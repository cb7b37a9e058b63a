"""A query parameter is known by the name it is read by, however an endpoint declares it."""

from __future__ import annotations

from typing import Annotated

import httpx
import pytest
from fastapi import Depends, Query
from pydantic import AliasChoices, BaseModel, Field

from kit.http.hostile import assert_problem
from servicekit.http.app import create_app
from servicekit.http.routing import Router
from servicekit.observe.metrics import HttpMetrics


class Page(BaseModel):
    limit: int = 10
    tags: list[str] = []
    sort_by: str = Field("id", alias="sort")


def zone(zone: str = "all") -> str:
    return zone


@pytest.fixture
def http(metrics: HttpMetrics) -> httpx.AsyncClient:
    router = Router()

    @router.get("/lists")
    async def lists(
        ids: Annotated[list[str] | None, Query()] = None,
        numbers: Annotated[set[int], Query(alias="number")] = set(),  # noqa: B006
    ) -> list[object]:
        return [ids, sorted(numbers)]

    @router.get("/model")
    async def model(page: Annotated[Page, Query()], zone: Annotated[str, Depends(zone)]) -> str:
        return f"{page.limit} {page.tags} {page.sort_by} {zone}"

    @router.get("/names")
    async def names(
        one: Annotated[str, Query(validation_alias="first")] = "",
        two: Annotated[str, Query(validation_alias=AliasChoices("second", "zweitens"))] = "",
    ) -> str:
        return one + two

    app = create_app(title="t", version="1", description="", routers=[router], metrics=metrics)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x/api/v1")


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("lists?ids=a&ids=b&number=2&number=1", [["a", "b"], [1, 2]]),
        ("model?limit=3&tags=a&tags=b&sort=name&zone=z", "3 ['a', 'b'] name z"),
        ("names?first=1&second=2", "12"),
        ("names?zweitens=2", "2"),
    ],
)
async def test_the_parameters_of_an_endpoint_are_accepted(
    http: httpx.AsyncClient, query: str, told: object
) -> None:
    answer = await http.get(query)
    assert (answer.status_code, answer.json()) == (200, told)


@pytest.mark.parametrize(
    "query", ["lists?numbers=1", "model?page=1", "model?sort_by=x", "names?one=1"]
)
async def test_a_name_that_only_the_code_knows_is_unknown(
    http: httpx.AsyncClient, query: str
) -> None:
    assert_problem(await http.get(query), 422, "unknown_parameter")


@pytest.mark.parametrize(
    "query", ["model?limit=1&limit=2", "model?zone=a&zone=a", "names?first=1&first=1"]
)
async def test_a_parameter_that_is_not_a_list_comes_once(
    http: httpx.AsyncClient, query: str
) -> None:
    assert_problem(await http.get(query), 422, "validation_failed")
