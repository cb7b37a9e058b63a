"""Orders over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Query, Request, Response

from outbox import SingleWrite, UnitOfWork
from service_orders.dependencies import Waiters, Work
from service_orders.domains.orders import repository, service
from service_orders.domains.orders.errors import OrderNotFound, TooMany
from service_orders.domains.orders.models import Order
from service_orders.domains.orders.schemas import (
    History,
    OrderStatusView,
    OrderSummary,
    OrderView,
    PlaceOrder,
)
from service_orders.domains.orders.states import IllegalTransition, OrderStatus, is_terminal
from servicekit.database.dataloader import DataLoader
from servicekit.http.app import API_BASE
from servicekit.http.fields import UuidId, WaitSeconds
from servicekit.http.idempotency import Answer, Once
from servicekit.http.openapi import problem_responses
from servicekit.http.pagination import Page, PageQuery
from servicekit.http.problems import ProblemSpec
from servicekit.http.routing import Router

NOT_FOUND = ProblemSpec(404, "order_not_found")
ILLEGAL_TRANSITION = ProblemSpec(409, "illegal_transition", members=("allowed",))
TOO_MANY = ProblemSpec(422, "too_many_of_one_product", members=("errors",))

PROBLEMS: Mapping[type[Exception], ProblemSpec] = {
    OrderNotFound: NOT_FOUND,
    IllegalTransition: ILLEGAL_TRANSITION,
    TooMany: TOO_MANY,
}

router = Router(prefix="/orders", tags=["orders"])


async def _orders(request: Request, work: Work) -> DataLoader[UUID, Order]:
    """One reader per process, so that a crowd of readers is served by few statements."""
    state = request.app.state
    if not hasattr(state, "orders"):
        state.orders = DataLoader[UUID, Order](partial(repository.find_all, work))
    orders: DataLoader[UUID, Order] = state.orders
    return orders


Orders = Annotated[DataLoader[UUID, Order], Depends(_orders)]


@router.post(
    "/new",
    status_code=201,
    summary="Place an order",
    operation_id="placeOrder",
    responses=problem_responses(TOO_MANY),
    response_model=OrderView,
)
@router.post(
    "",
    status_code=201,
    summary="Place an order, under its shorter path",
    responses=problem_responses(TOO_MANY),
    response_model=OrderView,
)
async def place_order(body: PlaceOrder, work: Work, once: Once) -> Response:
    """The order is stored, and will be processed, once this answers."""

    async def act(unit: UnitOfWork | SingleWrite) -> Answer:
        order, lines = await service.place(unit, body)
        location = f"{API_BASE}/orders/{order.id}"
        return Answer(OrderView.of_lines(order, lines), {"Location": location})

    return await once.run(work.begin, act, without_key=work.single)


@router.get("", summary="Orders, newest first")
async def list_orders(
    work: Work,
    page: PageQuery,
    user_id: Annotated[str | None, Query(min_length=1, max_length=255)] = None,
    status: OrderStatus | None = None,
) -> Page[OrderSummary]:
    """Of everybody or of one user, in any status or in one."""
    wanted = repository.newest(user_id=user_id, status=status)
    async with work.read() as connection:
        orders = await repository.page_of(connection, wanted, page)
    return repository.NEWEST_FIRST.page(orders, page, OrderSummary.of)


@router.get("/{order_id}", summary="An order", responses=problem_responses(NOT_FOUND))
async def get_order(
    order_id: UuidId, work: Work, orders: Orders, waiters: Waiters, wait: WaitSeconds = 0
) -> OrderView:
    """With `?wait=`, answers as soon as the order has settled."""
    order = await _settled(order_id, orders, waiters, wait)
    async with work.read() as connection:
        return OrderView.of_lines(order, await repository.lines_of(connection, order_id))


@router.get(
    "/{order_id}/status",
    summary="Where an order stands",
    responses=problem_responses(NOT_FOUND),
)
async def get_status(
    order_id: UuidId, orders: Orders, waiters: Waiters, wait: WaitSeconds = 0
) -> OrderStatusView:
    """With `?wait=`, answers as soon as the order has settled."""
    return OrderStatusView.of(await _settled(order_id, orders, waiters, wait))


@router.post(
    "/{order_id}/cancel",
    summary="Cancel an order",
    responses=problem_responses(NOT_FOUND, ILLEGAL_TRANSITION),
    response_model=OrderStatusView,
)
async def cancel_order(order_id: UuidId, work: Work, once: Once) -> Response:
    """An order that is settled stays as it is: 409."""

    async def act(unit: UnitOfWork) -> Answer:
        return Answer(OrderStatusView.of(await service.cancel(unit, order_id)))

    return await once.run(work.begin, act)


@router.get(
    "/{order_id}/history",
    summary="What has become of an order",
    responses=problem_responses(NOT_FOUND),
)
async def get_history(order_id: UuidId, work: Work) -> History:
    """Every status the order has had, oldest first, with the event that caused it."""
    async with work.read() as connection:
        await service.get(connection, order_id)
        return History.of(await repository.history_of(connection, order_id))


async def _settled(order_id: UUID, orders: Orders, waiters: Waiters, seconds: float) -> Order:
    """The order, at the latest when the time is up."""

    async def read() -> Order:
        order = await orders.get(order_id)
        if order is None:
            raise OrderNotFound(order_id)
        return order

    return await waiters.until_settled(
        str(order_id), read, lambda order: is_terminal(order.status), seconds
    )
