"""Nobody fills a log with one kind of warning."""

from __future__ import annotations

import logging

import pytest

from outbox.throttled_warnings import Throttled

logger = logging.getLogger("test")


@pytest.mark.parametrize("at_most", [1, 3])
def test_a_flood_is_so_many_lines_a_second_and_the_next_line_counts_the_rest(
    caplog: pytest.LogCaptureFixture, at_most: int
) -> None:
    now = 0.0
    throttled = Throttled(logger, at_most=at_most, clock=lambda: now)
    for number in range(10_000):
        throttled.warning("foul %d", number)
    now = 1.5
    throttled.warning("foul %d", 10_000)
    said = [record.getMessage() for record in caplog.records]
    assert said[:-1] == [f"foul {number}" for number in range(at_most)]
    assert said[-1] == f"({10_000 - at_most} like this were left out) foul 10000"
