"""Work that takes long is done less often."""

from __future__ import annotations

import pytest

from outbox.delays import AdaptiveInterval


def test_work_that_takes_long_is_done_less_often() -> None:
    now = 0.0
    pace = AdaptiveInterval(5.0, lambda: now)
    assert pace.is_due()
    with pace.measured():
        now += 0.01
    assert pace.left() == pytest.approx(5.0)
    for left in (5.0, 50.0):  # once may have been a machine that stood still
        with pace.measured():
            now += 1.0
        assert pace.left() == pytest.approx(left)
    pace.hurry(2.0)
    assert pace.left() == pytest.approx(2.0)
