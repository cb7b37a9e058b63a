"""The decision about an event follows from its sequence alone."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest

from outbox.inbox.position import Decision, Position

FIRST, OTHER = uuid4(), uuid4()


@pytest.mark.parametrize(
    ("sequence", "event_id", "decision"),
    [
        (1, OTHER, Decision.DUPLICATE),
        (2, FIRST, Decision.DUPLICATE),
        (2, OTHER, Decision.FORKED),
        (3, OTHER, Decision.APPLY),
        (4, OTHER, Decision.GAP),
    ],
)
def test_a_position_decides_by_sequence(sequence: int, event_id: UUID, decision: Decision) -> None:
    assert Position(2, FIRST, blocked=False, parked=0).decide(sequence, event_id) is decision


@pytest.mark.parametrize("sequence", [3, 4])
def test_everything_new_waits_behind_a_blocked_event(sequence: int) -> None:
    position = Position(2, FIRST, blocked=True, parked=1)
    assert position.decide(sequence, OTHER) is Decision.BEHIND
