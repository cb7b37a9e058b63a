"""Every run has its own servers, two fresh databases, and a fleet of processes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from chaos.fleet import Fleet
from chaos.scenario import Environment
from chaos.stack import fresh_environment
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
async def environment(machines: System) -> AsyncIterator[Environment]:
    async with fresh_environment(machines) as environment:
        yield environment


@pytest.fixture
async def fleet(environment: Environment, tmp_path: Path) -> AsyncIterator[Fleet]:
    async with Fleet(environment.variables, tmp_path) as fleet:
        yield fleet
