"""A host that vanishes says nothing: only short timers of the socket notice; none is leaked."""

from __future__ import annotations

import asyncio
import gc
import socket
from contextlib import suppress
from typing import Any

import psycopg
import pytest

from kit.outbox.world import World, running
from outbox import Notifier
from outbox.postgres import sessions
from outbox.postgres.listener import Listener
from outbox.postgres.sessions import connect

WITHIN = 20_000
"""Milliseconds; the kernel's own patience with what it has sent is a quarter of an hour."""


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> asyncio.Queue[tuple[int, int]]:
    """Of every connection that is opened: milliseconds until silence, and unheard words, end it."""
    timers: asyncio.Queue[tuple[int, int]] = asyncio.Queue()
    connect = psycopg.AsyncConnection.connect

    async def spied(*conninfo: str, **options: Any) -> psycopg.AsyncConnection[Any]:
        connection = await connect(*conninfo, **options)
        timers.put_nowait(_timers(connection.fileno()))
        return connection

    monkeypatch.setattr(psycopg.AsyncConnection, "connect", spied)
    return timers


def _timers(descriptor: int) -> tuple[int, int]:
    with socket.fromfd(descriptor, socket.AF_INET, socket.SOCK_STREAM) as copy:
        idle, interval, count, unheard = (
            copy.getsockopt(socket.IPPROTO_TCP, option)
            for option in (
                socket.TCP_KEEPIDLE,
                socket.TCP_KEEPINTVL,
                socket.TCP_KEEPCNT,
                socket.TCP_USER_TIMEOUT,
            )
        )
    return (idle + interval * count) * 1000, unheard


def assert_short(timers: tuple[int, int]) -> None:
    for milliseconds in timers:
        assert 0 < milliseconds <= WITHIN


async def test_the_notifier_notices(world: World, opened: asyncio.Queue[tuple[int, int]]) -> None:
    async with Notifier(world.database_url):
        assert_short(await asyncio.wait_for(opened.get(), 30))


async def test_a_listener_notices(world: World, opened: asyncio.Queue[tuple[int, int]]) -> None:
    async with await connect(world.engine) as connection:
        await Listener.over(connection, "anything")
        assert_short(opened.get_nowait())


async def test_all_connections_of_a_relay_notice(
    world: World, opened: asyncio.Queue[tuple[int, int]]
) -> None:
    async with running(world.relay()):
        for _ in range(3):
            assert_short(await asyncio.wait_for(opened.get(), 30))


async def test_a_lock_session_that_is_lost_while_it_opens_leaves_no_connection(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is left open is a warning when it is collected, and every warning is an error here."""
    monkeypatch.setattr(sessions, "_SESSION", "SELECT 1/0")
    with suppress(psycopg.errors.DivisionByZero):
        await sessions.open_lock_session(world.database_url, "lost")
    gc.collect()
