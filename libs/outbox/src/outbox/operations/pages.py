"""A list that is read page by page, however long it is.

Invariant: a page begins behind a key, never at a count of rows, so every page costs the same and
none shows a row twice. The cursor names the last key of the page before. It is text for a URL, and
is checked when it comes back.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar
from uuid import UUID

from outbox.errors import InvalidSetting

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """Some items; `next` is given as `after` to read those that follow. The last page has none."""

    items: list[Item]
    next: str | None

    @classmethod
    def of(
        cls, found: list[Item], limit: int, key: Callable[[Item], Sequence[object]]
    ) -> Page[Item]:
        """The page of a query for `limit + 1` rows; `key` is what they are ordered by."""
        items = found[:limit]
        return cls(items, cursor(*key(items[-1])) if len(found) > limit else None)


def cursor(*key: object) -> str:
    """A key as text for a URL."""
    text = json.dumps([_plain(part) for part in key], ensure_ascii=False)
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def key_of(after: str, *kinds: Callable[[Any], Any]) -> list[Any]:
    """The key that a cursor names. Raises `InvalidSetting` for what is none."""
    try:
        padded = after.encode("ascii") + b"=" * (-len(after) % 4)
        values = list(json.loads(base64.b64decode(padded, b"-_", validate=True)))
        key = [kind(value) for kind, value in zip(kinds, values, strict=True)]
        _check(key)
    except (ValueError, TypeError, AttributeError, RecursionError, OverflowError, binascii.Error):
        raise InvalidSetting("after", "is not what a page of this list has given") from None
    return key


def _check(key: Sequence[object]) -> None:
    """Raise `ValueError` for what PostgreSQL has no value for."""
    for part in key:
        if isinstance(part, int) and abs(part) >= 2**63:
            raise ValueError(part)
        if isinstance(part, str) and b"\0" in part.encode():
            raise ValueError(part)


def _plain(part: object) -> object:
    match part:
        case datetime():
            return part.isoformat()
        case UUID():
            return str(part)
    return part
