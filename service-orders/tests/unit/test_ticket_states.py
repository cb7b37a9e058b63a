"""The life of a ticket, as SPEC's table has it."""

from __future__ import annotations

import pytest

from service_orders.domains.tickets.states import LIFECYCLE, TicketStatus, accepts_comments
from servicekit.service.lifecycle import IllegalTransition

TABLE = {
    "open": {"answered", "closed"},
    "answered": {"awaiting_reply", "closed"},
    "awaiting_reply": {"answered", "closed"},
    "closed": set[str](),
}


@pytest.mark.parametrize("current", TicketStatus)
@pytest.mark.parametrize("target", TicketStatus)
def test_a_ticket_goes_where_the_table_says_and_nowhere_else(
    current: TicketStatus, target: TicketStatus
) -> None:
    if target in TABLE[current]:
        assert LIFECYCLE.move(current, target) is target
        return
    with pytest.raises(IllegalTransition) as refused:
        LIFECYCLE.move(current, target)
    assert refused.value.allowed == sorted(TABLE[current])


def test_every_status_has_a_row() -> None:
    assert set(LIFECYCLE.allowed) == set(TicketStatus)


def test_only_a_closed_ticket_accepts_no_comment() -> None:
    assert [status for status in TicketStatus if not accepts_comments(status)] == ["closed"]
