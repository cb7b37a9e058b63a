"""A window is split into what counts as sent and what does not."""

from __future__ import annotations

import pytest

from kit.outbox.outbox_rows import entry
from outbox.publisher.publisher import Outcome
from outbox.relay.settlement import split_window

A, R, N, T = Outcome.ACKED, Outcome.RETURNED, Outcome.NACKED, Outcome.TIMED_OUT


@pytest.mark.parametrize("outcome", [R, N, T])
def test_events_behind_an_unsent_one_of_their_aggregate_count_as_unsent(outcome: Outcome) -> None:
    entries = [entry(1, "a"), entry(2, "b"), entry(3, "a"), entry(4, "a"), entry(5, "b")]
    result = split_window(entries, [A, A, outcome, A, A])
    assert [entry.id for entry in result.sent] == [1, 2, 5]
    assert result.failed == [(entries[2], outcome)]
    assert result.of(outcome) == [entries[2]]


def test_events_behind_it_in_a_window_already_in_flight_count_as_unsent_too() -> None:
    entries = [entry(6, "a"), entry(7, "b")]
    result = split_window(entries, [A, A], {"order/a"})
    assert (result.sent, result.failed) == (entries[1:], [])
