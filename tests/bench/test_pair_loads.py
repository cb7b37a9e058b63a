"""Journeys, loads and CPU times are measured as they are described."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import cast
from uuid import UUID

import pytest

from bench.journeys import Journeys
from bench.load import post
from bench.pair_loads import Lag
from bench.process_usage import of_system, used
from bench.waiting_events import WaitingEvents

REQUEST = post("/orders", b"{}")


class _Answering(asyncio.Protocol):
    """Answers each request with the next status and an id."""

    def __init__(self, statuses: Iterator[int], numbers: Iterator[int]) -> None:
        self._statuses, self._numbers = statuses, numbers

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        assert data == REQUEST
        body = f'{{"id":"{UUID(int=next(self._numbers))}"}}'.encode()
        head = f"HTTP/1.1 {next(self._statuses)} x\r\ncontent-length: {len(body)}\r\n\r\n"
        self._transport.write(head.encode() + body)


@asynccontextmanager
async def _api(statuses: Iterator[int]) -> AsyncIterator[str]:
    numbers = itertools.count()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Answering(statuses, numbers), "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_a_client_waits_for_the_end_of_its_journey() -> None:
    async with _api(itertools.repeat(201)) as url:
        journeys = Journeys(url, lambda _: REQUEST)
        load = asyncio.create_task(journeys.closed_loop(2, 0.2, to_end=True))
        async with asyncio.timeout(10):
            while journeys.times.unfinished < 2:  # noqa: ASYNC110 the condition is over there
                await asyncio.sleep(0.01)
        assert len(journeys.times.answered) == 2
        async with asyncio.timeout(10):
            while not load.done():
                journeys.note_settled(list(journeys.times.answered))
                await asyncio.sleep(0.01)
        assert journeys.times.unfinished == 0
        assert len(journeys.times.to_end()) > 2
        journeys.pool.close()


async def test_a_request_of_an_open_loop_begins_at_its_time_and_may_be_refused() -> None:
    async with _api(itertools.cycle([201, 503])) as url:
        journeys = Journeys(url, lambda _: REQUEST)
        await journeys.open_loop(100, 0.2)
        journeys.pool.close()
    assert (len(journeys.times.answered), journeys.times.refused) == (10, 10)
    assert min(journeys.times.to_answer()) > 0


async def test_another_error_ends_the_load() -> None:
    async with _api(itertools.repeat(422)) as url:
        journeys = Journeys(url, lambda _: REQUEST)
        with pytest.raises(ExceptionGroup):
            await journeys.closed_loop(1, 5, to_end=False)
        journeys.pool.close()


def test_a_backlog_that_grows_in_one_place_is_not_flat() -> None:
    early = Lag(10, WaitingEvents(5, 5))
    assert Lag(12, WaitingEvents(0, 12)).no_longer_than(early, tolerance=2)
    assert not Lag(13, WaitingEvents(0, 0)).no_longer_than(early, tolerance=2)
    assert not Lag(0, WaitingEvents(13, 0)).no_longer_than(early, tolerance=2)


def test_cpu_of_the_load_generator_is_not_the_systems() -> None:
    spent = used({"api": 1.0, "load generator": 0.0}, {"api": 1.5, "load generator": 9.0})
    assert of_system(spent) == pytest.approx(0.5)
