"""Reads a request's JSON exactly: numbers with a point become Decimal, never float.

Invariant: time and memory grow with the body's length, whatever it contains. Values are counted
before any is made, the parser stops at 200 levels, and no code here visits all values of a body
that is in order. What PostgreSQL or 64 bits cannot hold is refused, whatever the model says. Two
members of one name, NaN and infinities are refused too (RFC 8259 has no such numbers). See
decision 1201.
"""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import jiter

__all__ = ["MAX_VALUES", "MalformedJson", "RefusedValue", "parse", "signs"]

MAX_VALUES = 10_000
MIN_INT64, MAX_INT64 = -(2**63), 2**63 - 1
MAX_EXPONENT = 308

_OUT_OF_RANGE = "This number is out of range."
# The parser's own words for what it cannot hold, and what the caller is told.
_PARSER_REFUSES = {
    "number out of range": _OUT_OF_RANGE,
    "InvalidOperation": _OUT_OF_RANGE,  # an exponent past 64 bits
    "hex escape": "Lone surrogates are not allowed.",
}
# Makes all digits equal, and all exponents: a value that may be refused is then found as bytes.
_LOOKS = bytes.maketrans(b"0123456789E+", b"9999999999e-")
_SUSPICIOUS = (b"9" * 19, b"e999", b"e-999", b"NaN", b"Infinity")

Location = tuple[int | str, ...]


class MalformedJson(Exception):
    """The body is not JSON in UTF-8; the text says what is wrong and where."""


class RefusedValue(Exception):
    """The body is JSON with a value that cannot be stored; says where it is and what it is."""

    def __init__(self, location: Location, message: str) -> None:
        super().__init__(message)
        self.location = location


def parse(body: bytes) -> Any:
    """Return the body's value; raise MalformedJson or RefusedValue."""
    if signs(body) > MAX_VALUES and signs(_outside_strings(body)) > MAX_VALUES:
        raise RefusedValue((), f"This has more than {MAX_VALUES} values.")
    value = _decoded(body)
    looks = body.translate(_LOOKS)
    suspicious = _has_nul(body) or any(one in looks for one in _SUSPICIOUS)
    if suspicious and (found := _unstorable(value)):
        raise RefusedValue(*found)
    return value


def signs(text: bytes) -> int:
    """Return how many values the text has at most: a sign precedes each but the first."""
    return text.count(b",") + text.count(b"[") + text.count(b"{")


def _has_nul(body: bytes) -> bool:
    """Whether a NUL is written; after two backslashes `u0000` is text."""
    return b"\\u0000" in body and b"\\u0000" in body.replace(b"\\\\", b"")


def _outside_strings(body: bytes) -> bytes:
    """Return the body without its strings; the body itself if it has too many strings."""
    bare = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    if bare.count(b'"') > 4 * MAX_VALUES:  # two to a name, two to its value
        return body
    return b"".join(bare.split(b'"')[::2])


def _decoded(body: bytes) -> Any:
    try:
        return jiter.from_json(
            body,
            allow_inf_nan=True,  # as Decimals, so that the refusal names their field
            cache_mode="keys",
            # Which of two members counts differs from parser to parser (RFC 8259, section 4).
            catch_duplicate_keys=True,  # see decision 0202
            float_mode="decimal",
        )
    except ValueError as error:
        reason = str(error)
    if reason.startswith("Detected duplicate key"):  # and its name, at any length
        raise MalformedJson("The body has two members of one name in one object.")
    for words, message in _PARSER_REFUSES.items():
        if words in reason:
            raise RefusedValue((), message)
    raise MalformedJson(f"The body is not JSON: {reason}.")


def _unstorable(value: Any) -> tuple[Location, str] | None:
    """Return where the first refused value is, and why. No object is made for the other values.

    The parser stopped at 200 levels, so the recursion ends.
    """
    for key, member in _members(value):
        if isinstance(key, str) and (message := refusal_of_text(key)):
            return (), f"In a member's name: {message}"
        if isinstance(member, dict | list):
            found = _unstorable(member)
        else:
            found = ((), message) if (message := _refusal(member)) else None
        if found:
            return (key, *found[0]), found[1]
    return ((), message) if (message := _refusal(value)) else None


def _members(value: Any) -> Iterable[tuple[int | str, Any]]:
    if isinstance(value, dict):
        return value.items()
    return enumerate(value) if isinstance(value, list) else ()


def _refusal(one: object) -> str | None:
    if isinstance(one, str):
        return refusal_of_text(one)
    if isinstance(one, int) and not MIN_INT64 <= one <= MAX_INT64:
        return "This integer does not fit into 64 bits."
    if isinstance(one, Decimal):
        if not one.is_finite():
            return f"{one} is not a number."
        # An exponent such as 1e999999999 would cost memory as soon as it becomes an integer.
        if one and abs(one.adjusted()) > MAX_EXPONENT:
            return _OUT_OF_RANGE
    return None


def refusal_of_text(text: str) -> str | None:
    """Return why PostgreSQL cannot store `text`, or None if it can."""
    if "\x00" in text:
        return "NUL bytes are not allowed."
    if not text.isascii():
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            return "Lone surrogates are not allowed."
    return None
