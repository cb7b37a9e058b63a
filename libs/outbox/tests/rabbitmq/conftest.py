"""A console over the database of a test, and somebody who is logged in to it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from fastapi import FastAPI

from kit.console.clicks import console_of
from kit.console.visitor import Visitor, visiting
from kit.outbox.world import World


@pytest.fixture
def console(world: World) -> FastAPI:
    return console_of(world)


@pytest.fixture
async def ann(console: FastAPI) -> AsyncIterator[Visitor]:
    async with visiting(console, name="operator") as visitor:
        yield visitor
