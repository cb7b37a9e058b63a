"""Types of the fields of requests and answers; used as `Annotated[str, Text(1, 255)]`.

Money is Decimal from the first byte to the last: JSON numbers arrive as Decimal (`strict_json`),
and a float is refused.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

from fastapi import Query
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    GetCoreSchemaHandler,
    PlainSerializer,
    WithJsonSchema,
)
from pydantic_core import CoreSchema, core_schema

from servicekit.http.strict_json import MAX_INT64, refusal_of_text

__all__ = [
    "PLAIN_DIGITS",
    "IntId",
    "Line",
    "Money",
    "Text",
    "Timestamp",
    "UuidId",
    "WaitSeconds",
    "Whole",
]

MONEY_LIMIT = Decimal(10) ** 10
CENT = Decimal("0.01")
_MONEY_TEXT = re.compile(r"[0-9]{1,10}(\.[0-9]{1,2})?")
_NUMBER = re.compile(r"\s*[+-]?[0-9._]+(e[+-]?[0-9]+)?\s*", re.IGNORECASE)
MAX_TIME = 100


@dataclass(frozen=True)
class Text:
    """A string of `minimum` to `maximum` characters that PostgreSQL can store.

    `pattern` is a regular expression in the syntax of JSON Schema: unanchored.
    """

    minimum: int
    maximum: int
    pattern: str | None = None

    def __get_pydantic_core_schema__(
        self, source: type[Any], handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        text = core_schema.str_schema(
            min_length=self.minimum, max_length=self.maximum, pattern=self.pattern, strict=True
        )
        return core_schema.no_info_after_validator_function(_storable, text)


def _storable(text: str) -> str:
    if message := refusal_of_text(text):
        raise ValueError(message)
    return text


@dataclass(frozen=True)
class Line(Text):
    """A text of one line that shows all it holds: no controls, no line breaks, no bidi marks.

    Such characters move the text beside them on a page, in a terminal or in the head of a mail
    (Unicode Standard Annex 9, section 2; Unicode Technical Report 36, section 2.10).
    """

    def __get_pydantic_core_schema__(
        self, source: type[Any], handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        text = super().__get_pydantic_core_schema__(source, handler)
        return core_schema.no_info_after_validator_function(_one_line, text)


# All invisible characters, without the joiners of Persian and of emoji (U+200C, U+200D). See
# decision 1203.
_UNSEEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]"
)


def _one_line(text: str) -> str:
    if found := _UNSEEN.search(text):
        raise ValueError(f"Control characters are not allowed here (U+{ord(found[0]):04X}).")
    return text


@dataclass(frozen=True)
class Whole:
    """A whole number from `minimum` to `maximum` in JSON: no string, no boolean, no 1.0."""

    minimum: int
    maximum: int = MAX_INT64

    def __get_pydantic_core_schema__(
        self, source: type[Any], handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.int_schema(ge=self.minimum, le=self.maximum, strict=True)


def _spelled(pattern: str, message: str) -> BeforeValidator:
    """Accept one spelling only: caches and rules in front of a service compare the text."""
    matches = re.compile(pattern).fullmatch

    def check(value: object) -> object:
        if isinstance(value, str) and not matches(value):
            raise ValueError(message)
        return value

    return BeforeValidator(check)


PLAIN_DIGITS = _spelled("0|[1-9][0-9]{0,18}", "has to be a number in plain digits")
"""A whole number in an address without sign, blank, point or `_`. It comes last in an `Annotated`:
bounds after it would apply to its input.
"""

IntId = Annotated[int, Field(ge=1, le=MAX_INT64), PLAIN_DIGITS]
"""An integer id in a path or a query."""

UuidId = Annotated[
    UUID,
    _spelled(
        "(?i)[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "has to be a UUID, with hyphens only"
    ),
]
"""A UUID in a path or a query: no braces, no `urn:uuid:` (RFC 9562, section 4)."""


def _money(value: object) -> Decimal:
    if isinstance(value, str):
        if not _MONEY_TEXT.fullmatch(value):
            raise ValueError(
                "has to be an amount such as 140.00: below 10^10, two decimals at most"
            )
        return Decimal(value).quantize(CENT)
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise ValueError("has to be a number or a string such as 140.00")  # noqa: TRY004
    amount = Decimal(value)
    if not amount.is_finite():
        raise ValueError("has to be a number")
    if not 0 <= amount < MONEY_LIMIT:
        raise ValueError("has to be at least 0 and below 10^10")
    exponent = amount.as_tuple().exponent
    if isinstance(exponent, int) and exponent < -2:
        raise ValueError("has more than two decimals")
    return amount.copy_abs().quantize(CENT)


Money = Annotated[
    Decimal,
    BeforeValidator(_money),
    PlainSerializer(lambda amount: f"{amount:.2f}", return_type=str),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": r"^[0-9]{1,10}(\.[0-9]{1,2})?$"},
                {
                    "type": "number",
                    "minimum": 0,
                    "exclusiveMaximum": 10_000_000_000,
                    "multipleOf": 0.01,
                },
            ],
            "examples": ["140.00"],
        },
        mode="validation",
    ),
    WithJsonSchema(
        {"type": "string", "pattern": r"^[0-9]{1,10}\.[0-9]{2}$", "examples": ["140.00"]},
        mode="serialization",
    ),
]
"""At least 0, below 10^10, two decimals; read from a JSON number or string, written as a string."""


def refuse_number(value: object) -> object:
    """Refuse a number, in quotes too: it would be read as seconds since 1970."""
    if isinstance(value, int | float | Decimal) or (
        isinstance(value, str) and (len(value) > MAX_TIME or _NUMBER.fullmatch(value))
    ):
        raise ValueError("has to be a time such as 2026-05-01T18:00:00Z")
    return value


def _in_utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        return moment.replace(tzinfo=UTC)
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("is out of range") from None


def rfc3339(moment: datetime) -> str:
    """RFC 3339 in UTC with microseconds and `Z`: 2026-05-01T18:00:00.000000Z."""
    # Always six digits, so that times of one field sort as text: see decision 0009.
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


Timestamp = Annotated[
    datetime,
    BeforeValidator(refuse_number),
    AfterValidator(_in_utc),
    PlainSerializer(rfc3339, return_type=str),
    WithJsonSchema(
        {"type": "string", "format": "date-time", "examples": ["2026-05-01T18:00:00.000000Z"]}
    ),
]
"""A moment; read as UTC if it has no offset, written in UTC with `Z` (RFC 3339)."""


WaitSeconds = Annotated[
    float,
    Query(
        alias="wait",
        ge=0,
        le=30,
        allow_inf_nan=False,
        description="Answer when the status is settled, or after so many seconds (0 to 30).",
    ),
    _spelled(r"[0-9]{1,2}(\.[0-9]{1,6})?", "has to be seconds in plain digits, such as 5 or 0.5"),
]
"""The `?wait=` of a single thing: `wait: WaitSeconds = 0`."""
