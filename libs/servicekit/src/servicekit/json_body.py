"""Read a request's JSON exactly: numbers with a point become Decimal, never float.

What PostgreSQL or 64 bits cannot hold is found here, whatever the model looks like: NUL bytes, lone
surrogates, integers past 64 bits, numbers out of a double's range, NaN and infinities (which Python
would let through, though RFC 8259 has no such numbers). Two members of one name are no JSON here.
"""

import json
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import Any

__all__ = ["MalformedJson", "RefusedValue", "parse"]

MIN_INT64, MAX_INT64 = -(2**63), 2**63 - 1
MAX_EXPONENT = 308
SAFE_INTEGER_DIGITS = 18

Location = tuple[int | str, ...]


class MalformedJson(Exception):
    """The body is not JSON in UTF-8; the text says what is wrong and where."""


class RefusedValue(Exception):
    """JSON, but with a value nobody here can store; says where it is and what it is."""

    def __init__(self, location: Location, message: str) -> None:
        super().__init__(message)
        self.location = location


class _Unstorable:
    """Stands in the parsed tree for a number that is refused."""

    def __init__(self, message: str) -> None:
        self.message = message


def parse(body: bytes) -> Any:
    """Return the body's value; raise MalformedJson or RefusedValue."""
    reader = _Reader()
    try:
        text = body.decode("utf-8")
        value = reader.decode(text)
    except UnicodeDecodeError as error:
        raise MalformedJson(f"The body is not UTF-8 (byte {error.start}).") from None
    except json.JSONDecodeError as error:
        raise MalformedJson(f"The body is not JSON: {error.msg} (position {error.pos}).") from None
    except RecursionError:
        raise MalformedJson("The body is not JSON anyone means: nested too deeply.") from None
    # NUL bytes and lone surrogates only come escaped: UTF-8 and the JSON grammar bar them raw.
    if reader.suspicious or "\\u" in text:
        for location, message in _unstorable(value):
            raise RefusedValue(location, message)
    return value


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    # Which of two members counts differs from parser to parser (RFC 8259, section 4).
    if len(members) != len(pairs):
        raise MalformedJson("The body has two members of one name in one object.")
    return members


class _Reader:
    def __init__(self) -> None:
        self.suspicious = False
        self.decode = json.JSONDecoder(
            object_pairs_hook=_members,
            parse_float=self._number,
            parse_int=self._integer,
            parse_constant=self._constant,
        ).decode

    def _number(self, text: str) -> Decimal | _Unstorable:
        try:
            number = Decimal(text)
        except InvalidOperation:  # an exponent past 64 bits
            return self._refuse("This number is out of range.")
        # An exponent such as 1e999999999 would cost memory as soon as somebody makes it an integer.
        if number and abs(number.adjusted()) > MAX_EXPONENT:
            return self._refuse("This number is out of range.")
        return number

    def _integer(self, text: str) -> int | _Unstorable:
        if len(text) <= SAFE_INTEGER_DIGITS:
            return int(text)
        if len(text) <= SAFE_INTEGER_DIGITS + 2 and MIN_INT64 <= int(text) <= MAX_INT64:
            return int(text)
        return self._refuse("This integer does not fit into 64 bits.")

    def _constant(self, name: str) -> _Unstorable:
        return self._refuse(f"{name} is not a number.")

    def _refuse(self, message: str) -> _Unstorable:
        self.suspicious = True
        return _Unstorable(message)


def _unstorable(value: Any) -> Iterator[tuple[Location, str]]:
    stack: list[tuple[Location, Any]] = [((), value)]
    while stack:
        location, one = stack.pop()
        if isinstance(one, _Unstorable):
            yield location, one.message
        elif isinstance(one, str) and (message := refusal_of_text(one)):
            yield location, message
        elif isinstance(one, dict):
            for key, member in one.items():
                if message := refusal_of_text(key):
                    yield location, f"In a member's name: {message}"
                stack.append(((*location, key), member))
        elif isinstance(one, list):
            stack.extend(((*location, index), item) for index, item in enumerate(one))


def refusal_of_text(text: str) -> str | None:
    """Why PostgreSQL could not store `text`, or None when it can."""
    if "\x00" in text:
        return "NUL bytes are not allowed."
    if not text.isascii():
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            return "Lone surrogates are not allowed."
    return None
