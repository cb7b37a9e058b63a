"""The bodies of requests and answers about offers and rentals. Money is in whole units."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from service_orders.domains.rentals.models import Rental
from service_orders.domains.rentals.offers import LONGEST_TOKEN, Offer
from service_orders.domains.rentals.states import PaymentStatus, RentalStatus
from servicekit.database.tables import fields_of
from servicekit.http.fields import Line, Text, Timestamp


class AskForOffer(BaseModel):
    """The user and the scooter of an offer."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"user_id": "user-1", "scooter_id": "scooter-1"}]}
    )

    user_id: Annotated[str, Line(1, 255)]
    scooter_id: Annotated[str, Line(1, 255)]


class OfferView(BaseModel):
    """A price that is valid until the offer expires, also when tariffs change."""

    id: UUID
    user_id: str = Field(examples=["user-1"])
    scooter_id: str = Field(examples=["scooter-1"])
    zone_id: str = Field(examples=["korolev"])
    price_per_minute: int = Field(examples=[24])
    price_unlock: int = Field(examples=[45])
    deposit: int = Field(examples=[300])
    expires_at: Timestamp
    token: str = Field(description="Start a rental with it, once.")

    @classmethod
    def of(cls, offer: Offer, token: str) -> Self:
        return cls(
            id=offer.id,
            user_id=offer.user_id,
            scooter_id=offer.scooter_id,
            zone_id=offer.zone_id,
            price_per_minute=offer.price.per_minute,
            price_unlock=offer.price.unlock,
            deposit=offer.price.deposit,
            expires_at=offer.expires_at,
            token=token,
        )


class StartRental(BaseModel):
    """The token of an offer."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"token": "the token of an offer"}]})

    token: Annotated[str, Text(1, LONGEST_TOKEN)]


class _Ride(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: UUID
    user_id: str
    scooter_id: str
    zone_id: str
    price_per_minute: int
    price_unlock: int
    deposit: int
    started_at: Timestamp
    active_at: Timestamp | None = Field(description="When the ride began: the clock runs from it.")
    finished_at: Timestamp | None = Field(description="When the ride ended.")
    total_amount: int = Field(description="What the ride cost; 0 until it has ended.")


class RentalView(_Ride):
    """A rental and its status."""

    status: RentalStatus
    payment_status: PaymentStatus
    reason: str | None
    cost_so_far: int = Field(description="What the ride costs if it ends now.")

    @classmethod
    def of(cls, rental: Rental) -> Self:
        cost = rental.cost_at(datetime.now(UTC))
        return cls.model_validate({**fields_of(rental), "cost_so_far": cost})


class ReceiptView(_Ride):  # see decision 1304
    """A ride that has ended; every call gets the same."""
