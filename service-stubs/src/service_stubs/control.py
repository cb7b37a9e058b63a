"""For tests and people: trouble the systems, look into the books."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field

from service_stubs.api import Books, InTrouble
from service_stubs.trouble import System, Trouble
from servicekit.http.routing import Router

router = Router(prefix="/control", tags=["control"])


OrderIds = Annotated[list[str] | None, Query(max_length=1000)]


class Wanted(BaseModel):
    """What is to be wrong with a system. Rates add up; at most one trouble meets a call."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"troubles": [{"mode": "failing", "rate": 0.3}, {"mode": "hanging", "rate": 0.05}]}
            ]
        }
    )

    troubles: list[Trouble] = Field(max_length=10)


class Troubled(BaseModel):
    """What is wrong with which system; an empty object when all is well."""

    systems: dict[str, list[dict[str, Any]]]


class Movements(BaseModel):
    """The payment provider's books, oldest first; one row per Idempotency-Key."""

    items: list[dict[str, Any]]


@router.get("", summary="What is wrong with which system")
async def troubles_now(troubles: InTrouble) -> Troubled:
    """Nothing, unless somebody asked for it since the start."""
    return Troubled(systems=troubles.view())


@router.put("/systems/{system}", summary="Trouble a system, or let it be")
async def trouble(system: System, body: Wanted, troubles: InTrouble) -> Troubled:
    """Replaces what was wrong with it before."""
    troubles.set(system, body.troubles)
    return Troubled(systems=troubles.view())


@router.delete("/systems", summary="All is well again")
async def calm(troubles: InTrouble) -> Troubled:
    """The books stay as they are."""
    troubles.clear()
    return Troubled(systems=troubles.view())


@router.get("/ledger", summary="The payment provider's books")
async def ledger(books: Books, order_id: OrderIds = None) -> Movements:
    """All of them, or those of some orders."""
    return Movements(items=books.view(order_id or ()))
