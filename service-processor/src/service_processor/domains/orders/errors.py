"""The refusals of requests about products."""

from __future__ import annotations


class ProductNotFound(LookupError):
    """There is no product with this id."""

    def __init__(self, product_id: str) -> None:
        super().__init__(f"There is no product {product_id}.")
