"""The life of an order, as a table."""

from __future__ import annotations

import pytest

from service_orders.domains.orders.states import LIFECYCLE, OrderStatus


def test_every_status_is_in_the_table() -> None:
    assert set(LIFECYCLE.allowed) == set(OrderStatus)


@pytest.mark.parametrize(
    "status", [OrderStatus.COMPLETED, OrderStatus.FAILED, OrderStatus.CANCELLED]
)
def test_a_terminal_status_leads_nowhere(status: OrderStatus) -> None:
    assert status in LIFECYCLE.terminal
    assert not any(LIFECYCLE.may_move(status, target) for target in OrderStatus)


def test_nothing_leads_back_to_created() -> None:
    assert not any(LIFECYCLE.may_move(status, OrderStatus.CREATED) for status in OrderStatus)
