"""Every page of the navigation: on a wide and a narrow screen, light and dark, by keyboard alone.

A page that is added to `outbox.console.pages.PAGES` is tested without another line here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import Browser, Page, expect

from kit.console.browser import NARROW, WIDE, Screen
from outbox.console.pages import PAGES

FOCUSABLE = (
    "a[href], button:not([disabled]), input:not([type=hidden]), select, textarea, summary, "
    "[tabindex='0']"
)
MANY = 200
"""More stops than a page may have."""


@dataclass(frozen=True)
class Look:
    name: str
    size: tuple[int, int]
    dark: bool


LIGHT = [Look("wide and light", WIDE, dark=False), Look("narrow and light", NARROW, dark=False)]
DARK = [Look("wide and dark", WIDE, dark=True), Look("narrow and dark", NARROW, dark=True)]


@pytest.fixture(scope="module", params=[*LIGHT, *DARK], ids=lambda look: look.name)
def logged_in(request: pytest.FixtureRequest, browser: Browser, console: str) -> Iterator[Screen]:
    with Screen.open(browser, console, size=request.param.size, dark=request.param.dark) as screen:
        screen.log_in()
        yield screen


@pytest.fixture(scope="module")
def without_scripts(browser: Browser, console: str) -> Iterator[Screen]:
    with Screen.open(browser, console, scripts=False) as screen:
        screen.log_in()
        yield screen


def opened(screen: Screen, title: str) -> Page:
    """The page, by its link in the navigation."""
    screen.page.get_by_role("navigation", name="Pages").get_by_role("link", name=title).click()
    expect(screen.page.locator("nav [aria-current=page]")).to_have_text(title)
    return screen.page


@pytest.mark.parametrize("title", [page.title for page in PAGES])
def test_a_page_can_be_used_by_everybody(logged_in: Screen, title: str) -> None:
    page = opened(logged_in, title)
    assert page.locator("h1").count() == 1
    assert logged_in.barriers() == []
    wide, seen = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert wide <= seen, "the page is wider than the screen"
    assert logged_in.problems == []


@pytest.mark.parametrize("logged_in", LIGHT, indirect=True, ids=lambda look: look.name)
@pytest.mark.parametrize("title", [page.title for page in PAGES])
def test_every_control_is_reached_by_the_keyboard_and_seen(logged_in: Screen, title: str) -> None:
    page = opened(logged_in, title)
    if (pause := page.locator("#pause")).is_visible():
        pause.click()  # no control is swapped meanwhile
    wanted = page.locator(FOCUSABLE).evaluate_all(
        "all => all.filter(one => one.checkVisibility()).map((one, at) => (one.dataset.stop = at))"
    )
    left = {str(at) for at in wanted}
    for _ in range(MANY):  # a field for a time has several stops
        left.discard(_next_stop(page) or "")
        if not left:
            break
    assert left == set()


def _next_stop(page: Page) -> str | None:
    """Press Tab; the control that has the focus now, which has to be seen."""
    page.keyboard.press("Tab")
    stop, outline = page.evaluate(
        "() => { const one = document.activeElement;"
        " return [one.dataset.stop ?? null, getComputedStyle(one).outlineWidth]; }"
    )
    assert stop is None or outline not in ("", "0px")
    return None if stop is None else str(stop)


@pytest.mark.parametrize("title", [page.title for page in PAGES])
def test_a_page_works_without_its_script(without_scripts: Screen, title: str) -> None:
    page = opened(without_scripts, title)
    assert page.locator("h1").is_visible()
    for button in page.locator("[data-copy]").all():
        assert not button.is_visible()
