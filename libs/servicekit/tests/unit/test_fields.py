"""Money, moments and JSON are read and written exactly."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter, ValidationError

from servicekit.http import strict_json
from servicekit.http.fields import Money, Timestamp


class Priced(BaseModel):
    amount: Money


class Dated(BaseModel):
    at: Timestamp


def price(text: str) -> str:
    """What a request's `amount` of this JSON text is answered with."""
    priced = Priced.model_validate(strict_json.parse(b'{"amount":' + text.encode() + b"}"))
    shown: str = priced.model_dump(mode="json")["amount"]
    return shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("0.1", "0.10"),
        ("140", "140.00"),
        ("140.1", "140.10"),
        ("140.10", "140.10"),
        ("1e2", "100.00"),
        ("1E-2", "0.01"),
        ("12345678.01", "12345678.01"),
        ("9999999999.99", "9999999999.99"),
        ("-0", "0.00"),
        ("0e5", "0.00"),
        ('"140"', "140.00"),
        ('"140.1"', "140.10"),
        ('"0"', "0.00"),
        ('"9999999999.99"', "9999999999.99"),
    ],
)
def test_money_is_read_exactly_and_written_with_two_decimals(text: str, shown: str) -> None:
    assert price(text) == shown


@given(st.integers(0, 10**12 - 1))
def test_every_amount_of_cents_comes_back_from_a_number_and_from_a_string(cents: int) -> None:
    shown = f"{cents // 100}.{cents % 100:02}"
    assert price(shown) == price(f'"{shown}"') == shown


@pytest.mark.parametrize(
    "text",
    [
        "0.30000000000000004",
        "1.001",
        "1.000",
        "1e-3",
        "1e10",
        "1e300",
        "-1",
        "true",
        "null",
        "[]",
        '""',
        '"1e2"',
        '"+1"',
        '"-1"',
        '".5"',
        '"1."',
        '"1 "',
        '"1,5"',
        '"0x1"',
        '"inf"',
        '"1.005"',
    ],
)
def test_a_value_that_is_not_an_amount_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        price(text)


def test_a_float_is_refused_even_inside_the_process() -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Money).validate_python(1.5)


def test_money_in_the_process_is_a_decimal_with_two_decimals() -> None:
    amount = Priced.model_validate({"amount": Decimal("1.5")}).amount
    assert (amount, amount.as_tuple().exponent) == (Decimal("1.50"), -2)


@pytest.mark.parametrize(
    ("given_time", "shown"),
    [
        ("2026-05-01T18:00:00+02:00", "2026-05-01T16:00:00.000000Z"),
        ("2026-05-01T18:00:00Z", "2026-05-01T18:00:00.000000Z"),
        ("2026-05-01T18:00:00.123456", "2026-05-01T18:00:00.123456Z"),
        (datetime.fromisoformat("2026-05-01T18:00:00-05:00"), "2026-05-01T23:00:00.000000Z"),
    ],
)
def test_a_moment_is_written_in_utc_and_read_as_utc_without_an_offset(
    given_time: str | datetime, shown: str
) -> None:
    assert Dated.model_validate({"at": given_time}).model_dump(mode="json") == {"at": shown}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"9223372036854775807", 2**63 - 1),
        (b"-9223372036854775808", -(2**63)),
        (b'"\\ud83d\\ude00"', "😀"),
        ('"😀"'.encode(), "😀"),
        (b"0.1", Decimal("0.1")),
    ],
)
def test_json_at_the_edge_of_what_can_be_stored_is_read(text: bytes, value: Any) -> None:
    assert strict_json.parse(text) == value


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    try:
        strict_json.parse(body)
    except (strict_json.MalformedJson, strict_json.RefusedValue):
        return
    body.decode("utf-8")
