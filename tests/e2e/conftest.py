"""A whole system of its own: PostgreSQL, RabbitMQ, both services, as real processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack.native.system import CHECKOUT, Layout, System
from kit.leaks import refuse_leaks
from kit.services.booking_client import Diner
from kit.services.order_client import Shop


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    folder: Path = tmp_path_factory.mktemp("e2e")
    layout = Layout(CHECKOUT, folder / "system")
    with System(layout, env={"LOG_LEVEL": "INFO"}) as system:
        yield system
        refuse_leaks(layout.logs)


@pytest.fixture
def shop(system: System) -> Shop:
    system.wait_ready()
    return Shop(system)


@pytest.fixture
def diner(system: System) -> Iterator[Diner]:
    system.wait_ready()
    diner = Diner(system)
    yield diner
    diner.http.close()
