"""The endpoints of the external systems, with the paths and spelling of their providers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import Header, Query
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict

from service_stubs import world
from service_stubs.dependencies import Dependencies, Deps
from service_stubs.ledger import KeyReused
from service_stubs.trouble import Mode, System
from servicekit.http.fields import Text, Whole
from servicekit.http.problems import Problem
from servicekit.http.routing import Router

router = Router(tags=["external systems"])

Id = Annotated[str, Query(min_length=1, max_length=255)]


class Money(BaseModel):
    """An amount of a user's money for an order, in whole units."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"user_id": "user-1", "order_id": "1", "amount": 300}]}
    )

    user_id: Annotated[str, Text(1, 255)]
    order_id: Annotated[str, Text(1, 255)]
    amount: Annotated[int, Whole(1, 10**12)]


Key = Annotated[str, Header(alias="Idempotency-Key", min_length=1, max_length=255)]


@router.get("/scooter-data", summary="Get a scooter: its zone and its charge")
async def scooter_data(id: Id, deps: Deps) -> Response:
    """Get a scooter. An id that does not contain `scooter` is answered with 404."""
    return await _read(deps, System.SCOOTERS, world.scooter(id))


@router.get("/tariff-zone-data", summary="Get the tariff of a zone")
async def tariff_zone_data(id: Id, deps: Deps) -> Response:
    """Get the tariff of a zone. All zones have the same tariff."""
    return await _read(deps, System.TARIFFS, world.tariff_zone(id))


@router.get("/user-profile", summary="Get a user: subscription, trust, debts")
async def user_profile(id: Id, deps: Deps) -> Response:
    """Get a user. An id other than `user-N` is answered with 404."""
    return await _read(deps, System.PROFILES, world.user_profile(id))


@router.get("/configs", summary="Get the coefficients of prices")
async def configs(deps: Deps) -> Response:
    """Get the coefficients of prices, which are the same for every user."""
    return await _read(deps, System.CONFIGS, world.CONFIGS)


@router.post("/hold-money-for-order", summary="Set money aside")
async def hold(body: Money, key: Key, deps: Deps) -> Response:
    """Set money aside. A repeated key gets the first answer and moves nothing."""
    return await _move(System.HOLD, body, key, deps)


@router.post("/clear-money-for-order", summary="Take money")
async def clear(body: Money, key: Key, deps: Deps) -> Response:
    """Take the amount, and give back the rest of what was set aside."""
    return await _move(System.CLEAR, body, key, deps)


@router.post("/release-money-for-order", summary="Give back what was set aside")
async def release(body: Money, key: Key, deps: Deps) -> Response:
    """Give back what was set aside. A repeated key gets the first answer and moves nothing."""
    return await _move(System.RELEASE, body, key, deps)


async def _read(deps: Dependencies, system: System, found: dict[str, Any] | None) -> Response:
    async def answer() -> Response:
        if found is None:
            raise Problem(404, "not_found", "There is nothing with this id.")
        return JSONResponse(found)

    return await _troubled(deps, system, answer)


async def _move(system: System, body: Money, key: str, deps: Dependencies) -> Response:
    status = {System.HOLD: "held", System.CLEAR: "cleared", System.RELEASE: "released"}[system]

    async def answer(status: str = status) -> Response:
        try:
            movement = deps.ledger.record(key, system, status=status, **body.model_dump())
        except KeyReused as reused:
            raise Problem(422, "idempotency_key_reused", str(reused), errors=[]) from None
        return JSONResponse(movement.answer)

    return await _troubled(deps, system, answer, declined=lambda: answer("declined"))


async def _troubled(
    deps: Dependencies,
    system: System,
    answer: Callable[[], Awaitable[Response]],
    declined: Callable[[], Awaitable[Response]] | None = None,
) -> Response:
    trouble = deps.troubles.meet(system)
    if trouble is None:
        return await answer()
    match trouble.mode:
        case Mode.FAILING:
            raise Problem(500, "made_to_fail", f"{system} was told to fail.")
        case Mode.DECLINING:
            return await (declined or answer)()
        case Mode.NONSENSE:
            await answer()
            return JSONResponse(deps.troubles.nonsense(trouble))
        case Mode.SLOW | Mode.HANGING:
            right = await answer()
            await asyncio.sleep(trouble.delay)
            return right
