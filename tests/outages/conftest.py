"""A PostgreSQL and a RabbitMQ that only these tests use, because they make them suffer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from urllib.parse import urlsplit

import pytest

from devstack.native.infrastructure import Wanted
from devstack.native.rabbitmq import ADMIN, ADMIN_PASSWORD, RabbitMQ
from devstack.native.system import CHECKOUT, Layout, System
from kit.leaks import refuse_leaks
from kit.outbox.world import World, open_world
from kit.servers.vhosts import fresh_vhost


@pytest.fixture(scope="session")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    layout = Layout(CHECKOUT, tmp_path_factory.mktemp("outages") / "system")
    wanted = Wanted(postgres=True, rabbitmq=True, redis=False)
    with System(layout, with_services=False, durable=False, wanted=wanted) as system:
        yield system
        refuse_leaks(layout.logs)


@pytest.fixture
def rabbitmq(victim: System) -> RabbitMQ:
    assert victim.infrastructure.rabbitmq
    return victim.infrastructure.rabbitmq


@pytest.fixture
def broker_url(victim: System, rabbitmq: RabbitMQ) -> Iterator[str]:
    """A virtual host of its own, gone after the test; the broker may have been killed before."""
    management = f"http://{ADMIN}:{ADMIN_PASSWORD}@{urlsplit(rabbitmq.management_url).netloc}"
    with fresh_vhost(victim.admin_rabbitmq_url, management) as url:
        yield url
        rabbitmq.wait_management()


@pytest.fixture
async def world(victim: System, broker_url: str) -> AsyncIterator[World]:
    async with open_world(victim.admin_database_url, broker_url) as world:
        yield world
