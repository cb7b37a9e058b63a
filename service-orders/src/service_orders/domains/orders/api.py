"""The HTTP API of orders."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from fastapi import Query, Response

from service_orders.dependencies import Deps
from service_orders.domains.orders import repository, service
from service_orders.domains.orders.errors import OrderNotFound, TooMany
from service_orders.domains.orders.models import order_history
from service_orders.domains.orders.schemas import (
    OrderStatusView,
    OrderSummary,
    OrderView,
    PlaceOrder,
)
from service_orders.domains.orders.states import OrderStatus
from servicekit.http.app import API_BASE
from servicekit.http.fields import UuidId, WaitSeconds
from servicekit.http.idempotency import Once
from servicekit.http.openapi import problem_responses
from servicekit.http.pagination import Page, PageQuery
from servicekit.http.problems import ProblemSpec
from servicekit.http.routing import Router
from servicekit.service.history import HistoryView
from servicekit.service.lifecycle import ILLEGAL_TRANSITION, IllegalTransition

NOT_FOUND = ProblemSpec(404, "order_not_found")
TOO_MANY = ProblemSpec(422, "too_many_of_one_product", members=("errors",))

PROBLEMS: Mapping[type[Exception], ProblemSpec] = {
    OrderNotFound: NOT_FOUND,
    IllegalTransition: ILLEGAL_TRANSITION,
    TooMany: TOO_MANY,
}

router = Router(prefix="/orders", tags=["orders"])


@router.post(
    "/new",
    status_code=201,
    summary="Place an order",
    responses=problem_responses(TOO_MANY),
    response_model=OrderView,
)
@router.post(
    "",
    status_code=201,
    summary="Place an order, under its shorter path",
    operation_id="placeOrderByShortPath",
    responses=problem_responses(TOO_MANY),
    response_model=OrderView,
)
async def place_order(body: PlaceOrder, deps: Deps, once: Once) -> Response:
    """Place an order. When this answers, the order is stored and is going to be processed."""
    async with once.begin(deps.work) as unit:
        order, lines = await service.place_order(unit, body)
        location = {"Location": f"{API_BASE}/orders/{order.id}"}
        return once.answer(OrderView.of(order, lines), location)


@router.get("", summary="List orders, newest first")
async def list_orders(
    deps: Deps,
    page: PageQuery,
    user_id: Annotated[str | None, Query(min_length=1, max_length=255)] = None,
    status: OrderStatus | None = None,
) -> Page[OrderSummary]:
    """List orders without their products, optionally filtered by user and status."""
    async with deps.work.read() as connection:
        return await repository.ROWS.page(
            connection, page, OrderSummary.model_validate, user_id=user_id, status=status
        )


@router.get("/{order_id}", summary="Get an order", responses=problem_responses(NOT_FOUND))
async def get_order(order_id: UuidId, deps: Deps, wait: WaitSeconds = 0) -> OrderView:
    """Get an order with its products. With `?wait=` the answer comes when the order is settled."""
    order = await service.CHANGES.settled(
        deps.waiters, deps.readers.of(repository.ROWS), order_id, wait
    )
    async with deps.work.read() as connection:
        return OrderView.of(order, await repository.lines_of(connection, order_id))


@router.get(
    "/{order_id}/status",
    summary="Get the status of an order",
    responses=problem_responses(NOT_FOUND),
)
async def get_order_status(order_id: UuidId, deps: Deps, wait: WaitSeconds = 0) -> OrderStatusView:
    """Get the status of an order. With `?wait=` the answer comes when the order is settled."""
    return OrderStatusView.model_validate(
        await service.CHANGES.settled(
            deps.waiters, deps.readers.of(repository.ROWS), order_id, wait
        )
    )


@router.post(
    "/{order_id}/cancel",
    summary="Cancel an order",
    responses=problem_responses(NOT_FOUND, ILLEGAL_TRANSITION),
    response_model=OrderStatusView,
)
async def cancel_order(order_id: UuidId, deps: Deps, once: Once) -> Response:
    """Cancel an order. An order that is settled cannot be cancelled: the answer is 409."""
    async with once.begin(deps.work) as unit:
        return once.answer(OrderStatusView.model_validate(await service.cancel(unit, order_id)))


@router.get(
    "/{order_id}/history",
    summary="Get the history of an order",
    responses=problem_responses(NOT_FOUND),
)
async def get_order_history(order_id: UuidId, deps: Deps) -> HistoryView:
    """Get every status the order has had, oldest first, with the event that caused it."""
    async with deps.work.read() as connection:
        await repository.ROWS.get(connection, order_id)
        return HistoryView.of(await order_history.of(connection, order_id))
