"""What an attacker writes into events is shown by the console as text, on every page.

Bodies, error texts, ids, event types and a job's key hold markup, quotes and line breaks. A crawler
follows every link of the console from the overview on, so a new page is tested by itself.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import AsyncIterator
from html.parser import HTMLParser

import httpx
import pytest

from kit.console.visitor import Visitor, visiting
from kit.outbox.world import Happened, World, open_world, running
from kit.servers import addresses
from kit.waiting import eventually
from outbox import Envelope, UnitOfWork, jobs
from outbox.console import Access, ConsoleService, Users, build_console
from outbox.console.pages import PAGES

MARK = "hacked"
MARKUP = f"</td></table><script src=//evil.example/{MARK}></script>"
ATTRIBUTE = f"\"' onmouseover='{MARK}()' style='{MARK}' x=\""
LINES = f"a\r\nSet-Cookie: {MARK}=1\r\n\r\n{MARKUP}"
LINK = f"javascript:{MARK}()"
TEMPLATE = "{{ 7 * 7 }}{% raw %}${7*7}"
HOSTILE = (MARKUP, ATTRIBUTE, LINES, LINK, TEMPLATE, "../../login?next=//evil.example", "%0d%0a%2f")
MOST_PAGES = 150


class _Reader(HTMLParser):
    """Collects the links of a page, and what nobody may be able to put into it."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.wrong: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.wrong += [
            f"{tag} {name}" for name in given if name.startswith("on") or name == "style"
        ]
        target = given.get("href", given.get("src", given.get("action", "")))
        is_own = target.startswith(("/", "#", "?")) and not target.startswith("//")
        if tag in {"script", "iframe", "object", "embed", "base", "style"} and not (
            tag == "script" and target.startswith("/static/")
        ):
            self.wrong.append(f"{tag} {target}")
        if target and not is_own:
            self.wrong.append(f"{tag} leads to {target}")
        if tag == "a" and target.startswith("/"):
            self.links.append(target)


@pytest.fixture
async def attacked(broker_url: str) -> AsyncIterator[World]:
    """Hostile events are parked with hostile errors; others wait, are due later, or are jobs."""

    async def fail(_unit: UnitOfWork, event: Envelope) -> None:
        raise RuntimeError(f"cannot handle {event.stream.aggregate_id}: {LINES}{ATTRIBUTE}")

    async with open_world(addresses.postgres(), broker_url) as world:
        events = [Happened(text, body=_body(text)) for text in HOSTILE]
        async with running(world.relay(), world.consumer(fail)):
            await world.emit(*events)
            await eventually(lambda: _is_parked(world, len(events)))
        await world.emit(*events)  # nothing relays them
        await world.execute(
            "UPDATE outbox SET attempts = 3, last_error = %s WHERE published_at IS NULL", LINES
        )
        async with world.work.begin() as unit:
            for text in HOSTILE:
                await jobs.enqueue(unit, text[:60], key=text, payload=text)
        yield world


def _body(text: str) -> bytes:
    return json.dumps({"text": text}).encode()


async def _is_parked(world: World, count: int) -> bool:
    return await world.rows("SELECT count(*) FROM inbox_parked") == [(count,)]


async def test_whatever_an_event_says_is_text_on_every_page(attacked: World) -> None:
    service = ConsoleService("shop", attacked.database_url, attacked.broker_url)
    app = build_console([service], Access(Users.of_development()))
    async with visiting(app, name="operator") as visitor:
        pages = await crawl(visitor)
    assert {f"{app.url_path_for(page.route)}" for page in PAGES} <= pages.keys()
    for path, answer in pages.items():
        assert answer.status_code < 500, path
        assert MARK not in str(answer.headers), path
        reader = read(answer.text)
        assert reader.wrong == [], path
    shown = "".join(answer.text for answer in pages.values())
    assert f"&lt;script src=//evil.example/{MARK}&gt;" in shown
    assert "49" not in "".join(shown.split("{{ 7 * 7 }}")[1:2])[:10]


async def test_a_query_of_markup_is_text_too(attacked: World) -> None:
    service = ConsoleService("shop", attacked.database_url, attacked.broker_url)
    app = build_console([service], Access(Users.of_development()))
    names = ("service", "consumer", "id", "q", "type", "after", "error", "group", "stream", "next")
    async with visiting(app, name="viewer") as visitor:
        for page in PAGES:
            for text in (
                *HOSTILE,
                "\x00",
                "9" * 40,
                "-1",
                "\ud800".encode(errors="surrogatepass").decode("latin-1"),
            ):
                asked = dict.fromkeys(names, text)
                answer = await visitor.get(str(app.url_path_for(page.route)), params=asked)
                assert answer.status_code < 500, (page.title, text)
                assert read(answer.text).wrong == [], (page.title, text)
                assert MARK not in answer.headers.get("set-cookie", "")


async def crawl(visitor: Visitor) -> dict[str, httpx.Response]:
    """Every page that a link leads to, by its path; of pages that differ in their query a few."""
    found: dict[str, httpx.Response] = {}
    waiting = deque(["/"])
    while waiting and len(found) < MOST_PAGES:
        path = waiting.popleft().partition("#")[0]
        if path in found or path.startswith("/static/"):
            continue
        found[path] = answer = await visitor.get(path)
        waiting.extend(read(answer.text).links)
    return found


def read(text: str) -> _Reader:
    reader = _Reader()
    reader.feed(text)
    return reader
