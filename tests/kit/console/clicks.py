"""Clicks without a browser: the links of a page by their texts, and a preview's button."""

from __future__ import annotations

import re
from html import unescape

from fastapi import FastAPI

from kit.console.visitor import Visitor, hidden_fields
from kit.outbox.world import World
from outbox.console import Access, ConsoleService, Users, build_console


def console_of(world: World) -> FastAPI:
    """The console of one service, `shop`."""
    service = ConsoleService("shop", world.database_url, world.broker_url)
    return build_console([service], Access(Users.of_development()))


def links(page: str) -> dict[str, str]:
    """The addresses of a page's links by their texts; of several with one text the first."""
    found: dict[str, str] = {}
    for href, text in re.findall(r'<a [^>]*?href="([^"]*)"[^>]*>(.*?)</a>', page, re.DOTALL):
        plain = unescape(re.sub(r"<[^>]*>", "", text)).strip()
        found.setdefault(plain, unescape(href))
    return found


async def confirm(visitor: Visitor, preview: str, note: str = "") -> int:
    """Open a preview and press its button; returns the status of the answer."""
    page = await visitor.get(preview)
    assert page.status_code == 200, page.text
    answer = await visitor.post(preview, {**hidden_fields(page.text), "note": note})
    return answer.status_code
