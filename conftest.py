"""Fixtures for all tests that talk to PostgreSQL or RabbitMQ: a fresh database, a fresh vhost.

`make test` and `make servers` start both; nothing is skipped when they are missing.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator

import pytest
from hypothesis import HealthCheck, settings

from kit.leaks import Leaks, passwords
from kit.servers import addresses
from kit.servers.databases import fresh_database
from kit.servers.vhosts import fresh_vhost
from servicekit.database import engine

# How long an example takes says something about the machine, nothing about the code.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")

SHARED = ("system", "machines", "victim", "browser")
"""Fixtures that are real processes for all tests of a folder; who shares one shares a process."""
SLOW = ("tests", "chaos", "tools")
"""Folders that are begun with, so that no worker is alone with them in the end."""


@pytest.hookimpl(tryfirst=True)  # pytest-xdist reads the marks in the same hook
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """By several processes: file by file, the slow ones first."""
    if not getattr(config.option, "loadgroup", False):  # what pytest-xdist tells its workers
        return
    for item in items:
        item.add_marker(pytest.mark.xdist_group(_group(item)))
    items.sort(key=lambda item: item.path.relative_to(config.rootpath).parts[0] not in SLOW)


addresses.find()  # before their passwords are read
LEAKS = Leaks(passwords())


@pytest.fixture(scope="session", autouse=True)
def _no_password_is_shown() -> Iterator[None]:
    with LEAKS.listening():
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that shows a password fails."""
    report = yield
    LEAKS.check(report)
    return report


def _group(item: pytest.Item) -> str:
    place = item.path.relative_to(item.config.rootpath)
    shared = [name for name in SHARED if name in getattr(item, "fixturenames", ())]
    return f"{place.parent} {shared[0]}" if shared else str(place)


@pytest.fixture
def database_url() -> Iterator[str]:
    """An empty database of its own, gone after the test."""
    with fresh_database(addresses.postgres()) as url:
        yield url


@pytest.fixture
def broker_url() -> Iterator[str]:
    """A virtual host of its own, gone after the test with all its queues."""
    with fresh_vhost(addresses.rabbitmq(), addresses.rabbitmq_management()) as url:
        yield url


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """For many at once: waits for a connection or a lock outlast a machine that stands still."""
    monkeypatch.setattr(engine, "POOL_TIMEOUT", 120.0)
    monkeypatch.setitem(engine.SESSION, "lock_timeout", "120s")
