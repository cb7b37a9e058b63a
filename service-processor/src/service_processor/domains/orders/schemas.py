"""The bodies of requests and answers about products."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from servicekit.http.fields import Line, Whole

MAX_STOCK = 10**12

ProductId = Annotated[str, Line(1, 255)]
Stock = Annotated[int, Whole(0, MAX_STOCK)]


class SetStock(BaseModel):
    """How much of a product can be ordered from now on."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"stock": 100}]})

    stock: Stock


class ProductView(BaseModel):
    """A product, and how much of it can still be ordered."""

    product_id: str = Field(examples=["product_001"])
    stock: int = Field(examples=[100])
