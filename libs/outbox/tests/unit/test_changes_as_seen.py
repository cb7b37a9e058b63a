"""When a change is refused because it would move, or has moved, something else than was seen."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from outbox.errors import ChangedSince
from outbox.inbox.parked_rows import Preview
from outbox.operations.operator.record import refuse_changed, refuse_moved

SEEN = Preview(3, 2, 7, datetime(2026, 11, 26, tzinfo=UTC), "9a2c")


def test_nobody_who_has_seen_nothing_is_refused() -> None:
    refuse_changed(None, SEEN)
    refuse_moved(None, 5)


def test_more_followers_and_a_later_time_are_no_change() -> None:
    refuse_changed(SEEN, replace(SEEN, followers=9, at=datetime(2027, 1, 1, tzinfo=UTC)))


@pytest.mark.parametrize("other", [{"events": 4}, {"streams": 1}, {"digest": "9a2d"}])
def test_other_events_are_a_change(other: dict[str, int]) -> None:
    with pytest.raises(ChangedSince, match="it was 3 events of 2 streams, now it is"):
        refuse_changed(SEEN, replace(SEEN, **other))  # type: ignore[arg-type]


def test_a_transaction_that_moved_more_than_was_seen_is_refused() -> None:
    refuse_moved(SEEN, 3)
    with pytest.raises(ChangedSince) as refused:
        refuse_moved(SEEN, 4)
    assert refused.value.seen == SEEN
