"""The bodies of answers about restaurants."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from service_orders.domains.restaurants.models import DiningTable, Restaurant
from servicekit.http.fields import Timestamp


class RestaurantSummary(BaseModel):
    """A restaurant. The time of a booking without an offset is in its time zone."""

    model_config = ConfigDict(from_attributes=True)

    id: int = Field(examples=[1])
    name: str
    address: str
    description: str | None
    timezone: str = Field(examples=["Europe/Rome"])
    created_at: Timestamp


class TableView(BaseModel):
    """A table and the number of its seats."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    name: str
    seats: int
    location: str


class RestaurantView(RestaurantSummary):
    """A restaurant with its tables, smallest first."""

    tables: list[TableView]

    @classmethod
    def of(cls, restaurant: Restaurant, tables: Sequence[DiningTable]) -> Self:
        summary = RestaurantSummary.model_validate(restaurant)
        return cls(**summary.__dict__, tables=[TableView.model_validate(table) for table in tables])
