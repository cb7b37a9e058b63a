"""The HTTP API of stock, which the `inventory` policy uses."""

from __future__ import annotations

from collections.abc import Mapping

from service_processor.dependencies import Deps
from service_processor.domains.orders import repository
from service_processor.domains.orders.errors import ProductNotFound
from service_processor.domains.orders.schemas import ProductId, ProductView, SetStock
from servicekit.http.openapi import problem_responses
from servicekit.http.problems import ProblemSpec
from servicekit.http.routing import Router

NOT_FOUND = ProblemSpec(404, "product_not_found")

PROBLEMS: Mapping[type[Exception], ProblemSpec] = {ProductNotFound: NOT_FOUND}

router = Router(prefix="/products", tags=["products"])

# An order may name any product, also one with slashes.
PRODUCT = "/{product_id:path}"  # see decision 0850


@router.get(PRODUCT, summary="Get the stock of a product", responses=problem_responses(NOT_FOUND))
async def get_product(product_id: ProductId, deps: Deps) -> ProductView:
    """Get how much of a product can still be ordered, without what orders have reserved."""
    async with deps.work.read() as connection:
        stock = await repository.stock_of(connection, product_id)
    if stock is None:
        raise ProductNotFound(product_id)
    return ProductView(product_id=product_id, stock=stock)


@router.put(PRODUCT, summary="Set the stock of a product")
async def set_stock(product_id: ProductId, body: SetStock, deps: Deps) -> ProductView:
    """Set how much of a product can still be ordered. What orders have reserved does not change."""
    async with deps.work.begin() as unit:
        await repository.set_stock(unit.connection, product_id, body.stock)
    return ProductView(product_id=product_id, stock=body.stock)
