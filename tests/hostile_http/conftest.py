"""Both services, live: one server and one migrated database for all tests of a file."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kit.http.live_services import Live, live_for_tests
from kit.http.raw import exchange, request


@pytest.fixture(scope="module")
def orders() -> Iterator[Live]:
    yield from live_for_tests("orders")


@pytest.fixture(scope="module")
def processor() -> Iterator[Live]:
    yield from live_for_tests("processor")


@pytest.fixture
def nothing_is_left_behind(orders: Live, processor: Live) -> Iterator[None]:
    """The test stores no row anywhere, and the services answer the next one."""
    before = _rows(orders, processor)
    assert all(before)
    yield
    assert exchange(orders, request("GET", b"/api/v1/orders?limit=1")).status_code == 200
    assert exchange(processor, request("GET", b"/health/ready")).status_code == 200
    assert _rows(orders, processor) == before


def _rows(orders: Live, processor: Live) -> list[dict[str, int]]:
    return [orders.rows(), processor.rows()]
