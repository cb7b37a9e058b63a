"""A real browser: Debian's chromium, driven by Playwright. Nothing is downloaded."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    sync_playwright,
)

NAMES = ("chromium", "chromium-browser", "google-chrome")
PATIENCE = 10_000
"""Milliseconds for anything that is waited for."""
WIDE, NARROW = (1280, 900), (360, 740)


def find_browser() -> str:
    """The program; fails the test that needs it where there is none."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.fail("there is no chromium on this machine: apt-get install chromium", pytrace=False)
    return found


@contextmanager
def open_browser() -> Iterator[Browser]:
    """A browser without a window."""
    # Root has no sandbox; /dev/shm of a container is small.
    arguments = ["--disable-dev-shm-usage", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    program = find_browser()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=arguments)
        yield browser
        browser.close()


@dataclass
class Screen:
    """A window of a certain size and scheme; remembers what went wrong in it."""

    context: BrowserContext
    base_url: str
    page: Page
    problems: list[str] = field(default_factory=list)

    @classmethod
    @contextmanager
    def open(
        cls,
        browser: Browser,
        base_url: str,
        *,
        size: tuple[int, int] = WIDE,
        dark: bool = False,
        scripts: bool = True,
    ) -> Iterator[Screen]:
        context = browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme="dark" if dark else "light",
            java_script_enabled=scripts,
            timezone_id="Europe/Berlin",
            locale="en-GB",
            reduced_motion="reduce",
        )
        context.set_default_timeout(PATIENCE)
        screen = cls(context, base_url, context.new_page())
        screen._watch()
        yield screen
        context.close()

    def _watch(self) -> None:
        """Scripts that fail, what the policy of the page forbids, requests to elsewhere."""
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("console", self._said)
        self.page.on("request", self._asked)

    def _said(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.problems.append(message.text)

    def _asked(self, request: Request) -> None:
        if not request.url.startswith(self.base_url):
            self.problems.append(f"asks {request.url}")

    def barriers(self) -> list[str]:
        """What axe finds that keeps somebody from using the page."""
        found = Axe().run(self.page).response["violations"]
        return [
            f"{one['id']}: {one['help']} at {[node['target'] for node in one['nodes']][:5]}"
            for one in found
            if one["impact"] in ("serious", "critical")
        ]

    def open_path(self, path: str) -> Page:
        self.page.goto(self.base_url + path)
        return self.page

    def log_in(self, name: str = "operator") -> Page:
        page = self.open_path("/login")
        page.fill("#name", name)
        page.fill("#password", f"{name}-dev-only")
        page.press("#password", "Enter")
        page.wait_for_selector("nav[aria-label=Pages]")
        return page
