"""The valid answers of the external systems. Any other answer counts as a failed call."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)

from servicekit.http.fields import Text, Whole

HIGHEST_PRICE = 1_000_000
"""A higher number is a mistake and not a price."""
HIGHEST_DEBT = 10**12

Id = Annotated[str, Text(1, 255)]
Price = Annotated[int, Whole(0, HIGHEST_PRICE)]
Debt = Annotated[int, Whole(0, HIGHEST_DEBT)]


class _Answer(BaseModel):
    """Unknown fields are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


class ScooterData(_Answer):
    """The zone of a scooter, and its charge in percent."""

    id: Id
    zone_id: Id
    charge: Annotated[int, Whole(0, 100)]


class TariffZoneData(_Answer):
    """The prices of a zone."""

    id: Id
    price_per_minute: Price
    price_unlock: Price
    default_deposit: Price


class UserProfile(_Answer):
    """What the provider knows about a user, in its own spelling."""

    id: Id
    has_subscribtion: bool
    trusted: bool
    current_debt: Debt = 0
    total_debt: Debt = 0


def _or_none(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    try:
        return handler(value)
    except ValidationError:
        return None


def _decimal(value: object) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("has to be a number")  # noqa: TRY004 pydantic reports ValueError only
    return Decimal(str(value))


_WRONG_IS_NONE = WrapValidator(_or_none)
_NUMBER = BeforeValidator(_decimal)
_Coefficient = Annotated[Decimal | None, Field(gt=0, le=100), _NUMBER, _WRONG_IS_NONE]
_Share = Annotated[Decimal | None, Field(ge=0, le=1), _NUMBER, _WRONG_IS_NONE]
_Percent = Annotated[int | None, Field(ge=0, le=100), _WRONG_IS_NONE]
_Amount = Annotated[int | None, Field(ge=0, le=HIGHEST_DEBT), _WRONG_IS_NONE]
_Seconds = Annotated[int | None, Field(ge=0, le=3600), _WRONG_IS_NONE]


class Said(_Answer):
    """Fields may be missing; an invalid one is None."""

    @property
    def said(self) -> frozenset[str]:
        """The names of the fields in the answer."""
        return frozenset(self.model_fields_set)


class PriceCoefficients(Said):
    """The coefficients of prices, and the charge below which the discount applies."""

    surge: _Coefficient = None
    low_charge_discount: _Share = None
    low_charge_threshold: _Percent = None


class PricingRules(Said):
    """The rules of deposits and short rides."""

    deposit_multiplier: _Coefficient = None
    deposit_debt_threshold: _Amount = None
    free_ride_seconds_threshold: _Seconds = None


class Configs(Said):
    """What the provider may say about prices; at least one field."""

    price_coeff_settings: PriceCoefficients = PriceCoefficients()
    pricing_rules: PricingRules = PricingRules()
    low_charge_threshold: _Percent = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.said:
            raise ValueError("no field is about prices")  # see decision 1308
        return self
