"""Control for tests and people: make systems fail, and read the ledger."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field

from service_stubs.dependencies import Deps
from service_stubs.trouble import System, Trouble
from servicekit.http.routing import Router

router = Router(prefix="/control", tags=["control"])


OrderIds = Annotated[list[str] | None, Query(max_length=1000)]


class Wanted(BaseModel):
    """The faults of a system. Their rates add up; a call has at most one fault."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"troubles": [{"mode": "failing", "rate": 0.3}, {"mode": "hanging", "rate": 0.05}]}
            ]
        }
    )

    troubles: list[Trouble] = Field(max_length=10)


class Troubled(BaseModel):
    """The faults of each system; empty when there is none."""

    systems: dict[str, list[dict[str, Any]]]


class Movements(BaseModel):
    """The movements of money, oldest first; one per Idempotency-Key."""

    items: list[dict[str, Any]]


@router.get("", summary="List the faults of all systems")
async def troubles_now(deps: Deps) -> Troubled:
    """List the faults of all systems. After a start there is none."""
    return Troubled(systems=deps.troubles.view())


@router.put("/systems/{system}", summary="Set the faults of a system")
async def trouble(system: System, body: Wanted, deps: Deps) -> Troubled:
    """Set the faults of a system. They replace its previous ones."""
    deps.troubles.set(system, body.troubles)
    return Troubled(systems=deps.troubles.view())


@router.delete("/systems", summary="Remove the faults of all systems")
async def calm(deps: Deps) -> Troubled:
    """Remove the faults of all systems. The ledger stays as it is."""
    deps.troubles.clear()
    return Troubled(systems=deps.troubles.view())


@router.get("/ledger", summary="List the movements of money")
async def ledger(deps: Deps, order_id: OrderIds = None) -> Movements:
    """List all movements of money, or those of some orders."""
    return Movements(items=deps.ledger.view(order_id or ()))
