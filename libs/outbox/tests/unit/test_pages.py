"""A cursor is checked when it comes back."""

from __future__ import annotations

import base64
from datetime import UTC, datetime

import pytest

from outbox.errors import InvalidSetting
from outbox.operations.pages import cursor, key_of


def test_a_cursor_names_its_key() -> None:
    at = datetime(2026, 11, 26, tzinfo=UTC)
    assert key_of(cursor(at, "ä", 7), datetime.fromisoformat, str, int) == [at, "ä", 7]


@pytest.mark.parametrize(
    "text",
    [
        '[1e400, "a"]',
        '[Infinity, "a"]',
        '[NaN, "a"]',
        f'[{10**30}, "a"]',
        '[1e300, "a"]',
        r'[1, "\ud800"]',
        r'[1, "a\u0000"]',
        '[1, "a", 2]',
        '{"a": 1}',
        "[" * 100_000,
        "1",
    ],
)
def test_a_cursor_that_no_page_has_given_is_refused(text: str) -> None:
    forged = base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()
    with pytest.raises(InvalidSetting, match="after"):
        key_of(forged, int, str)
