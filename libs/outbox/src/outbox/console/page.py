"""What the navigation and the application need to know of a page."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import APIRouter


@dataclass(frozen=True, slots=True)
class Page:
    """`route` is the name of its first route, which needs no parameters."""

    title: str
    route: str
    router: APIRouter
