"""Somebody who uses the console over HTTP, without a browser: forms are filled in as they are."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Any

import httpx
from fastapi import FastAPI

HOST = "127.0.0.1"
PASSWORDS = {"operator": "operator-dev-only", "viewer": "viewer-dev-only"}


class _Inputs(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.values: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "input" and given.get("type") == "hidden" and given.get("name"):
            self.values[str(given["name"])] = given.get("value") or ""


def hidden_fields(page: str) -> dict[str, str]:
    """The hidden fields of a page's forms; of two with one name the last."""
    parser = _Inputs()
    parser.feed(page)
    return parser.values


@dataclass
class Visitor:
    """One browser: cookies are kept, redirects are not followed."""

    http: httpx.AsyncClient
    prefix: str = ""

    async def get(self, path: str, **options: Any) -> httpx.Response:
        return await self.http.get(self.prefix + path, **options)

    async def post(
        self, path: str, fields: Mapping[str, str] | None = None, **options: Any
    ) -> httpx.Response:
        """Post exactly these fields."""
        return await self.http.post(self.prefix + path, data=dict(fields or {}), **options)

    async def submit(
        self, path: str, fields: Mapping[str, str] | None = None, *, of: str = "/", **options: Any
    ) -> httpx.Response:
        """Post a form of the page `of`, with its hidden fields."""
        page = await self.get(of)
        return await self.post(path, {**hidden_fields(page.text), **(fields or {})}, **options)

    async def log_in(self, name: str, password: str | None = None) -> httpx.Response:
        return await self.post(
            "/login", {"name": name, "password": password or PASSWORDS.get(name, "wrong")}
        )


@asynccontextmanager
async def visiting(
    app: FastAPI,
    *,
    name: str | None = None,
    prefix: str = "",
    address: str = HOST,
    base_url: str = f"http://{HOST}:8002",
) -> AsyncIterator[Visitor]:
    """A browser that is logged in as `name`, or nobody."""
    transport = httpx.ASGITransport(app, client=(address, 50_000), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url=base_url) as http:
        visitor = Visitor(http, prefix)
        if name is not None:
            answer = await visitor.log_in(name)
            assert answer.status_code == 303, answer.text
        yield visitor
