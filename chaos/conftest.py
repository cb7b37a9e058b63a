"""What every run has: its own machines, two fresh databases, a fleet."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from chaos.fleet import Fleet
from chaos.sides import Place
from chaos.stack import fresh_place
from devstack.native.infrastructure import Wanted
from devstack.native.system import CHECKOUT, Layout, System
from kit.leaks import refuse_leaks


@pytest.fixture(scope="session")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    layout = Layout(CHECKOUT, tmp_path_factory.mktemp("chaos") / "system")
    wanted = Wanted(postgres=True, rabbitmq=True, redis=False)
    with System(layout, with_services=False, durable=False, wanted=wanted) as system:
        yield system
        refuse_leaks(layout.logs)


@pytest.fixture
async def place(machines: System) -> AsyncIterator[Place]:
    async with fresh_place(machines) as place:
        yield place


@pytest.fixture
async def fleet(place: Place, tmp_path: Path) -> AsyncIterator[Fleet]:
    async with Fleet(place.environment, tmp_path) as fleet:
        yield fleet
