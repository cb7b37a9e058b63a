"""One browser and one console for all tests of this folder. `console` names the fixture's URL."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from kit.console.browser import Screen, open_browser
from kit.console.serving import serving
from kit.outbox.world import install
from kit.servers import addresses
from kit.servers.databases import filled_database
from outbox.console import Access, ConsoleService, Users, build_console


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def console() -> Iterator[str]:
    """A console of two services, whose databases have nothing but their tables."""
    admin = addresses.postgres()
    with filled_database(admin, install) as orders, filled_database(admin, install) as processor:
        services = [ConsoleService("orders", orders), ConsoleService("processor", processor)]
        with serving(build_console(services, Access(Users.of_development()))) as url:
            yield url


@pytest.fixture
def screen(browser: Browser, console: str) -> Iterator[Screen]:
    """A window of somebody who has not logged in."""
    with Screen.open(browser, console) as screen:
        yield screen
        assert screen.problems == []
