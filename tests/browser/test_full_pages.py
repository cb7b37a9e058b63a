"""Pages with something to show: for everybody, as text, live; an alarm is repaired by clicks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime

import psycopg
import pytest
from playwright.sync_api import Browser, expect
from sqlalchemy.ext.asyncio import create_async_engine

from kit.console.browser import NARROW, WIDE, Screen
from kit.console.parked_rows import CONSUMER, park
from kit.console.serving import serving
from kit.outbox.world import Happened, install
from kit.servers import addresses
from kit.servers.databases import filled_database
from outbox import Notifier, Outbox, Work, jobs
from outbox.console import Access, ConsoleService, Users, build_console
from outbox.operations.controls import OfQueue
from outbox.operations.operator import Actor, open_operator

HOSTILE = """<img src=x onerror="document.title='run'">"""
EVENT = f"consumer={CONSUMER}&source=shop&aggregate_type=order&aggregate_id=o-00000001&sequence=1"
GROUP = f"consumer={CONSUMER}&type=order.happened&group=f00dcafe"
PATHS = (
    "/",
    "/failures",
    f"/failures/shop/group?{GROUP}",
    f"/failures/shop/event?{EVENT}",
    f"/failures/shop/edit?{EVENT}",
    f"/failures/shop/redrive?{GROUP}",
    f"/failures/shop/discard?{GROUP}",
    "/journey",
    "/journey?id=7",
    "/journey?id=7777",
    "/streams?aggregate_id=o-00000001",
    "/streams?aggregate_id=7",
    "/outbox",
    "/outbox/shop/replay?type=order.happened",
    "/scheduled",
    "/scheduled/shop/event?source=shop&key=soon",
    "/jobs",
    "/queues",
    "/health",
    "/health/reconcile",
    "/operations",
)


@dataclass(frozen=True)
class Full:
    """A console, and the database of its service."""

    url: str
    database_url: str


@pytest.fixture(scope="module")
def full() -> Iterator[Full]:
    """One service in which something waits, failed, is scheduled and was paused."""
    with filled_database(addresses.postgres(), install) as database_url:
        # Playwright's loop runs in this thread.
        with ThreadPoolExecutor(1) as thread:
            thread.submit(asyncio.run, _fill(database_url)).result()
        service = ConsoleService("shop", database_url)
        with serving(build_console([service], Access(Users.of_development()))) as url:
            yield Full(url, database_url)


async def _fill(database_url: str) -> None:
    engine = create_async_engine(database_url.replace("postgresql://", "postgresql+psycopg://"))
    async with Notifier(database_url) as notifier:
        work = Work(engine, Outbox("shop"), notifier)
        async with work.begin() as unit:
            await unit.emit(Happened("7"), Happened("7"))
            await unit.schedule(Happened("8"), key="soon", at=datetime(2040, 1, 1, tzinfo=UTC))
            await jobs.enqueue(unit, "pay", key="one", payload={})
    await engine.dispose()
    park(database_url, streams=3, events=4, error=HOSTILE, body=HOSTILE.encode())
    async with open_operator(database_url, by=Actor("ann", "cli")) as operator:
        await operator.controls.pause(OfQueue(CONSUMER), why=HOSTILE, unknown=True)
    async with await psycopg.AsyncConnection.connect(database_url) as connection:
        await connection.execute(
            "UPDATE outbox_jobs SET state = 'failed', last_error = 'no answer'"
        )
        await connection.execute("UPDATE outbox SET parked_at = now(), last_error = 'too large'")


@pytest.fixture(scope="module", params=[(WIDE, False), (NARROW, True)], ids=["wide", "narrow"])
def ann(request: pytest.FixtureRequest, browser: Browser, full: Full) -> Iterator[Screen]:
    size, dark = request.param
    with Screen.open(browser, full.url, size=size, dark=dark) as screen:
        screen.log_in()
        screen.page.wait_for_selector(".flow", timeout=15_000)  # its first measurements
        yield screen


@pytest.mark.parametrize("path", PATHS)
def test_a_full_page_can_be_used_by_everybody_and_runs_no_foreign_text(
    ann: Screen, path: str
) -> None:
    page = ann.open_path(path)
    assert page.locator("h1").count() == 1
    assert ann.barriers() == []
    wide, seen = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert wide <= seen, "the page is wider than the screen"
    assert page.title() != "run"
    assert ann.problems == []


def test_a_new_failure_is_on_the_page_within_two_seconds(browser: Browser, full: Full) -> None:
    with Screen.open(browser, full.url) as screen:
        screen.log_in()
        page = screen.open_path("/failures")
        expect(page.get_by_role("link", name="f00dcafe")).to_be_visible()
        began = time.monotonic()
        park(full.database_url, streams=1, events=1, consumer="kitchen.late", group="0badcafe")

        expect(page.get_by_role("link", name="0badcafe")).to_be_visible()

        assert time.monotonic() - began < 3.0, "two seconds and the time to draw"


def test_an_alarm_takes_four_clicks(browser: Browser, full: Full) -> None:
    """The trouble, its group, Redrive all, and the button of the preview."""
    park(full.database_url, streams=2, events=3, consumer="kitchen.repaired", group="1badcafe")
    with Screen.open(browser, full.url) as screen:
        page = screen.log_in()
        trouble = page.locator(".troubles a[href*='kitchen.repaired']")
        expect(trouble).to_be_visible()
        trouble.click()
        page.get_by_role("link", name="1badcafe").click()
        page.get_by_role("link", name="Redrive all…").click()
        expect(page.get_by_text("4 events wait behind")).to_be_visible()
        page.get_by_role("button", name="Redrive 2 streams").click()

        expect(page.get_by_text("2 streams are tried now")).to_be_visible()
        page.get_by_role("link", name="Operations").click()
        expect(page.get_by_role("cell", name="redrive parked").first).to_be_visible()
