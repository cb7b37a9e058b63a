"""`make screenshots`: pictures of every page of the console, of a system in trouble.

python -m kit.console.screenshots [FOLDER]      see docs/console.md
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from playwright.sync_api import Page

from devstack.native import rabbitmq
from devstack.native.services import SERVICES
from devstack.native.system import CHECKOUT, Layout, System
from kit.console.browser import NARROW, WIDE, Screen, open_browser
from kit.console.scenes import CAUSES, Scenes
from kit.console.serving import serving
from kit.waiting import wait_until
from outbox.console import Access, ConsoleService, Users, build_console
from outbox.console.pages import PAGES

SHOWN = CHECKOUT / "docs" / "pictures" / "console"
PROCESSING = {"PROCESSING_DELAY_MIN": "0", "PROCESSING_DELAY_MAX": "120"}
"""Orders end at different times, so that their ends are scheduled events."""


def services_of(system: System) -> list[ConsoleService]:
    """Both services of a running system, as `make start` tells the console."""
    login = f"://{rabbitmq.MONITOR}:{rabbitmq.MONITOR_PASSWORD}@"
    return [
        ConsoleService(
            service.name,
            system.environment[service.name][service.database_variable],
            system.environment[service.name]["RABBITMQ_URL"],
            system.urls["management"].replace("://", login, 1),
        )
        for service in SERVICES
    ]


@contextmanager
def troubled() -> Iterator[tuple[str, str]]:
    """The console of a system under load with three kinds of failures; an order parked once."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        system = stack.enter_context(System(Layout(CHECKOUT, Path(folder) / "home"), PROCESSING))
        scenes = Scenes(system)
        app = build_console(services_of(system), Access(Users.of_development()))
        url = stack.enter_context(serving(app))
        order = scenes.park_once()
        for table, error in CAUSES.items():
            stack.enter_context(scenes.break_table(table, error))
        scenes.open_tickets(12)
        scenes.book(20)
        stack.enter_context(scenes.customers())
        wait_until(lambda: scenes.parked() > 50, within=60)
        yield url, order


def take(folder: Path) -> None:
    """One picture of each page, and the overview also dark and narrow."""
    folder.mkdir(parents=True, exist_ok=True)
    with troubled() as (url, order), open_browser() as browser:
        with Screen.open(browser, url) as screen:
            screen.log_in()
            for page in PAGES:
                picture(screen.page, url, page.title, folder / f"{page.title.lower()}.png", order)
        with Screen.open(browser, url, dark=True) as screen:
            screen.log_in()
            picture(screen.page, url, "Overview", folder / "overview-dark.png", order)
        with Screen.open(browser, url, size=NARROW) as screen:
            screen.log_in()
            picture(screen.page, url, "Overview", folder / "overview-narrow.png", order)


def picture(page: Page, url: str, title: str, file: Path, order: str) -> None:
    """Open a page by its link; the journey is that of the order."""
    page.get_by_role("navigation", name="Pages").get_by_role("link", name=title).click()
    if title == "Journey":
        page.goto(f"{url}/journey?id={order}")
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(2_500)  # the next refresh of a live region
    height = min(page.evaluate("document.documentElement.scrollHeight"), 1_600)
    page.set_viewport_size({"width": page.viewport_size["width"], "height": height})  # type: ignore[index]
    page.screenshot(path=str(file))
    page.set_viewport_size({"width": page.viewport_size["width"], "height": WIDE[1]})  # type: ignore[index]
    print(file.name)


if __name__ == "__main__":
    take(Path(sys.argv[1]) if len(sys.argv) > 1 else SHOWN)
