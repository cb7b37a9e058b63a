"""What offers and rides cost: examples, and what holds for any."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from service_orders.domains.rentals.external import rules_of
from service_orders.domains.rentals.external_answers import Configs
from service_orders.domains.rentals.pricing import (
    Price,
    Rider,
    Rules,
    Tariff,
    cost,
    deposit,
    price_per_minute,
    quote,
)

STUBS = Rules(surge=Decimal(2), low_charge_discount=Decimal("0.75"))
PRICE = Price(per_minute=24, unlock=45, deposit=300, free_ride_seconds=5)

amounts = st.integers(0, 1_000_000)
tariffs = st.builds(Tariff, amounts, amounts, amounts)
riders = st.builds(Rider, st.booleans(), st.booleans(), amounts, amounts)
rules = st.builds(
    Rules,
    surge=st.decimals("0.01", 100, places=2),
    low_charge_discount=st.decimals(0, 1, places=2),
    low_charge_threshold=st.integers(0, 100),
    deposit_multiplier=st.decimals("0.01", 100, places=2),
    free_ride_seconds=st.integers(0, 3600),
)
charges = st.integers(0, 100)
seconds = st.floats(-10, 10**7)


@pytest.mark.parametrize(
    ("base", "charge", "price"), [(12, 57, 24), (12, 28, 24), (12, 27, 18), (13, 27, 19), (0, 9, 0)]
)
def test_a_minute_costs_the_base_with_surge_and_less_when_nearly_empty(
    base: int, charge: int, price: int
) -> None:
    assert price_per_minute(base, charge, STUBS) == price


def test_it_is_rounded_down_after_the_surge_and_after_the_discount() -> None:
    odd = Rules(surge=Decimal("1.3"), low_charge_discount=Decimal("0.9"))
    assert price_per_minute(3, 100, odd) == 3  # 3.9
    assert price_per_minute(3, 1, odd) == 2  # 2.7 of 3, not 3.51


@pytest.mark.parametrize(
    ("rider", "amount"),
    [
        (Rider(), 300),
        (Rider(is_trusted=True, total_debt=20_000), 0),
        (Rider(total_debt=10_000), 300),
        (Rider(total_debt=10_001), 375),
    ],
)
def test_a_deposit_goes_by_trust_and_debt(rider: Rider, amount: int) -> None:
    assert deposit(300, rider, Rules()) == amount


def test_a_deposit_is_rounded_down() -> None:
    assert deposit(301, Rider(total_debt=20_000), Rules()) == 376


@pytest.mark.parametrize(
    ("ridden", "total"),
    [(-1, 0), (0, 0), (4.999, 0), (5, 47), (6, 47), (59.9, 68), (60, 69), (90, 81), (3600, 1485)],
)
def test_a_ride_costs_whole_seconds_and_the_unlocking(ridden: float, total: int) -> None:
    assert cost(PRICE, ridden) == total


@given(tariffs, charges, riders, rules, seconds)
def test_nothing_is_ever_negative(
    tariff: Tariff, charge: int, rider: Rider, by: Rules, ridden: float
) -> None:
    price = quote(tariff, charge, rider, by)
    assert min(price.per_minute, price.unlock, price.deposit, cost(price, ridden)) >= 0


@given(tariffs, riders, rules, seconds, seconds)
def test_a_longer_ride_is_never_cheaper(
    tariff: Tariff, rider: Rider, by: Rules, one: float, other: float
) -> None:
    price = quote(tariff, 50, rider, by)
    assert cost(price, min(one, other)) <= cost(price, max(one, other))


@given(tariffs, charges, rules, st.floats(0, 4.999))
def test_a_ride_below_the_threshold_is_free(
    tariff: Tariff, charge: int, by: Rules, ridden: float
) -> None:
    assume(by.free_ride_seconds)
    price = quote(tariff, charge, Rider(), by)
    assert cost(price, min(ridden, by.free_ride_seconds - 0.001)) == 0


@given(tariffs, charges, riders, rules, seconds)
def test_a_subscription_is_never_dearer(
    tariff: Tariff, charge: int, rider: Rider, by: Rules, ridden: float
) -> None:
    plain = Rider(False, rider.is_trusted, rider.current_debt, rider.total_debt)
    subscribed = Rider(True, rider.is_trusted, rider.current_debt, rider.total_debt)
    assert cost(quote(tariff, charge, subscribed, by), ridden) <= cost(
        quote(tariff, charge, plain, by), ridden
    )


BEFORE = Rules(surge=Decimal(9), low_charge_threshold=9, free_ride_seconds=9)


@pytest.mark.parametrize(
    ("said", "surge", "threshold", "free"),
    [
        ('{"price_coeff_settings": {}}', Decimal("2.5"), 28, 5),
        ('{"price_coeff_settings": {"surge": 2}}', Decimal(2), 28, 5),
        ('{"price_coeff_settings": {"surge": -2}}', Decimal(9), 28, 5),
        ('{"price_coeff_settings": {"surge": 1e9}}', Decimal(9), 28, 5),
        ('{"price_coeff_settings": {"surge": true}}', Decimal(9), 28, 5),
        ('{"low_charge_threshold": 30}', Decimal("2.5"), 30, 5),
        (
            '{"low_charge_threshold": 30, "price_coeff_settings": {"low_charge_threshold": 31}}',
            Decimal("2.5"),
            31,
            5,
        ),
        ('{"low_charge_threshold": "many"}', Decimal("2.5"), 9, 5),
        ('{"pricing_rules": {"free_ride_seconds_threshold": 7}}', Decimal("2.5"), 28, 7),
        ('{"pricing_rules": {"free_ride_seconds_threshold": -7}}', Decimal("2.5"), 28, 9),
    ],
)
def test_configs_hold_field_by_field(said: str, surge: Decimal, threshold: int, free: int) -> None:
    """Left out: what is built in. Nonsense: what held before."""
    found = rules_of(Configs.model_validate_json(said), BEFORE)
    assert (found.surge, found.low_charge_threshold, found.free_ride_seconds) == (
        surge,
        threshold,
        free,
    )


@pytest.mark.parametrize("said", ["{}", '{"error": "internal error"}', "[]", "null", '"x"'])
def test_an_answer_that_says_nothing_about_prices_is_none(said: str) -> None:
    with pytest.raises(ValueError, match="validation error"):
        Configs.model_validate_json(said)
