"""An offer, and the token that carries it: a signed JWT. Offers are not stored.

Invariant: an offer that `read` returns was signed with one of our keys, for this purpose, and has
not expired. The algorithm is fixed here and never read from the token (RFC 8725, section 3.1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal
from uuid import UUID

import jwt
from pydantic import BaseModel, ConfigDict, ValidationError
from uuid_utils.compat import uuid7

from service_orders.domains.rentals.errors import OfferExpired, OfferInvalid
from service_orders.domains.rentals.external_answers import HIGHEST_PRICE
from service_orders.domains.rentals.pricing import Price
from servicekit.http.fields import Text, Whole

ALGORITHM = "HS256"
AUDIENCE = "rental-offer"
SHORTEST_KEY = 32
"""Bytes; a key for HS256 is at least as long as its hash (RFC 7518, section 3.2)."""
LONGEST_TOKEN = 4096

# Versions of the meaning of tariffs and pricing rules; an offer with unknown ones is refused.
TARIFF_VERSION: Literal[1] = 1
PRICING_VERSION: Literal[1] = 1

_Id = Annotated[str, Text(1, 255)]
_Amount = Annotated[int, Whole(0, HIGHEST_PRICE * 1000)]


@dataclass(frozen=True, slots=True)
class Offer:
    """A price for one user and one scooter, until it expires."""

    id: UUID
    user_id: str
    scooter_id: str
    zone_id: str
    price: Price
    expires_at: datetime

    @classmethod
    def until(
        cls, user_id: str, scooter_id: str, zone_id: str, price: Price, *, ttl: timedelta
    ) -> Offer:
        """A new offer; `expires_at` is rounded down to a whole second."""
        expires_at = (datetime.now(UTC) + ttl).replace(microsecond=0)
        return cls(uuid7(), user_id, scooter_id, zone_id, price, expires_at)


class _Claims(BaseModel):
    """The claims of a token."""

    model_config = ConfigDict(extra="ignore")

    jti: UUID
    sub: _Id
    exp: Annotated[int, Whole(0)]
    scooter_id: _Id
    zone_id: _Id
    price_per_minute: _Amount
    price_unlock: _Amount
    deposit: _Amount
    free_ride_seconds: Annotated[int, Whole(0, 3600)]
    tariff_version: Literal[1]
    pricing_version: Literal[1]


class Signer:
    """Signs with the first of its keys, and accepts tokens that any of them has signed."""

    def __init__(self, keys: Sequence[str]) -> None:
        if not keys or any(len(key.encode()) < SHORTEST_KEY for key in keys):
            raise ValueError(f"a signing key has at least {SHORTEST_KEY} bytes")
        self._keys = tuple(keys)

    def token(self, offer: Offer) -> str:
        """The whole offer as a token."""
        price = offer.price
        claims = {
            "aud": AUDIENCE,
            "jti": str(offer.id),
            "sub": offer.user_id,
            "exp": int(offer.expires_at.timestamp()),
            "scooter_id": offer.scooter_id,
            "zone_id": offer.zone_id,
            "price_per_minute": price.per_minute,
            "price_unlock": price.unlock,
            "deposit": price.deposit,
            "free_ride_seconds": price.free_ride_seconds,
            "tariff_version": TARIFF_VERSION,
            "pricing_version": PRICING_VERSION,
        }
        return jwt.encode(claims, self._keys[0], algorithm=ALGORITHM)

    def read(self, token: str) -> Offer:
        """The offer in a token. Raises `OfferExpired` or `OfferInvalid`."""
        try:
            return _offer(_Claims.model_validate(self._decoded(token)))
        except jwt.ExpiredSignatureError:
            raise OfferExpired from None
        except (jwt.PyJWTError, ValidationError, ValueError, OverflowError):
            raise OfferInvalid from None

    def _decoded(self, token: str) -> dict[str, object]:
        for key in self._keys:
            try:
                return jwt.decode(
                    token,
                    key,
                    algorithms=[ALGORITHM],
                    audience=AUDIENCE,
                    options={"require": ["aud", "exp", "jti", "sub"]},
                )
            except jwt.InvalidSignatureError:
                continue
        raise OfferInvalid


def _offer(claims: _Claims) -> Offer:
    price = Price(
        claims.price_per_minute, claims.price_unlock, claims.deposit, claims.free_ride_seconds
    )
    expires_at = datetime.fromtimestamp(claims.exp, UTC)
    return Offer(claims.jti, claims.sub, claims.scooter_id, claims.zone_id, price, expires_at)
