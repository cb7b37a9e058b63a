"""The prices of offers and rides. Pure; amounts are whole units, times whole seconds."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Rules:
    """The pricing rules. The defaults apply until the configs system answers."""

    surge: Decimal = Decimal("2.5")
    low_charge_discount: Decimal = Decimal("0.5")
    low_charge_threshold: int = 28
    """Percent; a scooter with a lower charge is cheaper."""
    deposit_multiplier: Decimal = Decimal("1.25")
    deposit_debt_threshold: int = 10_000
    """A user with a higher total debt pays a higher deposit."""
    free_ride_seconds: int = 5
    """A ride shorter than this costs nothing."""


@dataclass(frozen=True, slots=True)
class Tariff:
    """The prices of a zone."""

    price_per_minute: int
    price_unlock: int
    default_deposit: int


@dataclass(frozen=True, slots=True)
class Rider:
    """What is known about a user. The defaults are the cautious terms for an unknown one."""

    has_subscription: bool = False
    is_trusted: bool = False
    current_debt: int = 0
    total_debt: int = 0


@dataclass(frozen=True, slots=True)
class Price:
    """The price of a ride."""

    per_minute: int
    unlock: int
    deposit: int
    free_ride_seconds: int


def quote(tariff: Tariff, charge: int, rider: Rider, rules: Rules) -> Price:
    """The price of a scooter with this charge (percent) for this rider."""
    return Price(
        per_minute=price_per_minute(tariff.price_per_minute, charge, rules),
        unlock=0 if rider.has_subscription else tariff.price_unlock,
        deposit=deposit(tariff.default_deposit, rider, rules),
        free_ride_seconds=rules.free_ride_seconds,
    )


def price_per_minute(base: int, charge: int, rules: Rules) -> int:
    """Rounded down after the surge, and again after the discount."""
    price = int(base * rules.surge)
    return int(price * rules.low_charge_discount) if charge < rules.low_charge_threshold else price


def deposit(default: int, rider: Rider, rules: Rules) -> int:
    """The deposit, rounded down; a trusted user pays none."""
    if rider.is_trusted:
        return 0
    if rider.total_debt > rules.deposit_debt_threshold:
        return int(default * rules.deposit_multiplier)
    return default


def cost(price: Price, seconds: float) -> int:
    """The cost of a ride of so many seconds; only whole seconds count."""
    elapsed = max(0, int(seconds))
    if elapsed < price.free_ride_seconds:
        return 0
    return elapsed * price.per_minute // 60 + price.unlock
