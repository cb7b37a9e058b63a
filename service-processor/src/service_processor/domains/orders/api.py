"""Stock over HTTP, for the `inventory` policy."""

from __future__ import annotations

from collections.abc import Mapping

from service_processor.dependencies import Work
from service_processor.domains.orders import repository
from service_processor.domains.orders.errors import ProductNotFound
from service_processor.domains.orders.schemas import ProductId, ProductView, SetStock
from servicekit.http.openapi import problem_responses
from servicekit.http.problems import ProblemSpec
from servicekit.http.routing import Router

NOT_FOUND = ProblemSpec(404, "product_not_found")

PROBLEMS: Mapping[type[Exception], ProblemSpec] = {ProductNotFound: NOT_FOUND}

router = Router(prefix="/products", tags=["products"])

# An order may name any product, with slashes in it too.
PRODUCT = "/{product_id:path}"


@router.get(PRODUCT, summary="What is in stock", responses=problem_responses(NOT_FOUND))
async def get_product(product_id: ProductId, work: Work) -> ProductView:
    """What orders hold is not counted."""
    async with work.read() as connection:
        stock = await repository.stock_of(connection, product_id)
    if stock is None:
        raise ProductNotFound(product_id)
    return ProductView(product_id=product_id, stock=stock)


@router.put(PRODUCT, summary="Set the stock of a product, new or known")
async def put_product(product_id: ProductId, body: SetStock, work: Work) -> ProductView:
    """What orders hold already is not touched."""
    async with work.begin() as unit:
        await repository.set_stock(unit.connection, product_id, body.stock)
    return ProductView(product_id=product_id, stock=body.stock)
