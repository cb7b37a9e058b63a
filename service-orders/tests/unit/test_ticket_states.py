"""The life of a ticket, as SPEC's table has it."""

from __future__ import annotations

import pytest

from service_orders.domains.tickets.states import (
    ALLOWED,
    IllegalTransition,
    TicketStatus,
    move,
    takes_comments,
)

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
        assert move(current, target) is target
        return
    with pytest.raises(IllegalTransition) as refused:
        move(current, target)
    assert refused.value.allowed == sorted(TABLE[current])


def test_every_status_has_a_row() -> None:
    assert set(ALLOWED) == set(TicketStatus)


def test_only_a_closed_ticket_takes_no_comment() -> None:
    assert [status for status in TicketStatus if not takes_comments(status)] == ["closed"]
