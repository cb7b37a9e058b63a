"""A notification fits into what PostgreSQL accepts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from outbox.postgres.notify import MAX_PAYLOAD, _chunks


@given(st.lists(st.text(alphabet="abc-", min_size=1, max_size=200), max_size=200))
def test_notifications_are_cut_to_what_postgresql_takes(keys: list[str]) -> None:
    assert all(len(chunk) <= MAX_PAYLOAD + 10 for chunk in _chunks(keys))
