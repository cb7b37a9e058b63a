"""Calls to external systems end in time, are repeated if that may help, and have a circuit."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator
from typing import Annotated

import httpx
import pytest
from pydantic import BaseModel

from servicekit.http import client
from servicekit.http.client import ExternalSystem, NotThere, Unavailable
from servicekit.http.fields import Whole


class Priced(BaseModel):
    price: Annotated[int, Whole(0, 1_000_000)]


class Provider:
    """Answers with what it is told, the last for ever; counts."""

    def __init__(self, *answers: httpx.Response | Exception | float) -> None:
        self.answers = list(answers)
        self.asked = 0
        self.keys: list[str | None] = []
        self.heard = asyncio.Event()

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked += 1
        self.heard.set()
        self.keys.append(request.headers.get("Idempotency-Key"))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, float):
            await asyncio.sleep(answer)
            return GOOD
        return answer


GOOD = httpx.Response(200, json={"price": 7})
BROKEN = httpx.Response(500, text="oh no")


def system(provider: Provider, **settings: float) -> ExternalSystem:
    http = httpx.AsyncClient(transport=httpx.MockTransport(provider), base_url="http://theirs")
    return ExternalSystem("theirs", http, **settings)  # type: ignore[arg-type]


async def test_an_answer_fits_its_model() -> None:
    assert (await system(Provider(GOOD)).get("/", Priced)).price == 7


@pytest.mark.parametrize("first", [BROKEN, httpx.ConnectError("away"), httpx.ReadError("cut")])
async def test_a_passing_failure_is_tried_again(first: httpx.Response | Exception) -> None:
    provider = Provider(first, first, GOOD)
    assert (await system(provider).get("/", Priced)).price == 7
    assert provider.asked == 3


async def test_the_same_key_goes_with_every_attempt() -> None:
    provider = Provider(BROKEN, GOOD)
    await system(provider).post("/", Priced, {"amount": 1}, key="r:hold")
    assert provider.keys == ["r:hold", "r:hold"]


@pytest.mark.parametrize(
    "body",
    [
        "",
        "null",
        "[]",
        "{}",
        "<html>",
        '{"error": "internal error"}',
        '{"price": -1}',
        '{"price": 1000000000}',
        '{"price": "7"}',
        '{"price": 7.5}',
        '{"price": true}',
        '{"price": null}',
        '{"price": NaN}',
    ],
)
async def test_an_answer_that_does_not_fit_is_unavailable(body: str) -> None:
    with pytest.raises(Unavailable, match="nonsense"):
        await system(Provider(httpx.Response(200, text=body))).get("/", Priced)


@pytest.mark.parametrize("status", [204, 301, 400, 401, 403, 409, 422, 429, 500, 502, 503])
async def test_no_other_status_is_an_answer(status: int) -> None:
    with pytest.raises(Unavailable):
        await system(Provider(httpx.Response(status))).get("/", Priced)


async def test_404_is_an_answer_and_no_failure() -> None:
    provider = Provider(httpx.Response(404))
    theirs = system(provider, open_after=2)
    for _ in range(5):
        with pytest.raises(NotThere):
            await theirs.get("/", Priced)
    assert provider.asked == 5


async def test_a_slow_system_costs_its_timeout_with_all_attempts() -> None:
    began = time.monotonic()
    with pytest.raises(Unavailable, match=r"no answer within 0\.2 s"):
        await system(Provider(30.0), timeout=0.2).get("/", Priced)
    assert time.monotonic() - began < 1.2


async def test_a_body_that_trickles_does_not_outlast_the_timeout() -> None:
    class Trickle(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            while True:
                yield b" "
                await asyncio.sleep(0.01)

    with pytest.raises(Unavailable, match="no answer within"):
        await system(Provider(httpx.Response(200, stream=Trickle())), timeout=0.2).get("/", Priced)


async def test_a_system_that_is_down_is_left_alone_and_used_again_later() -> None:
    provider = Provider(BROKEN)
    theirs = system(provider, open_after=3, open_for=0.2)
    for _ in range(3):
        with pytest.raises(Unavailable, match="status 500"):
            await theirs.get("/", Priced)
    asked = provider.asked
    with pytest.raises(Unavailable, match="failed too often"):
        await theirs.get("/", Priced)
    assert provider.asked == asked
    provider.answers = [GOOD]
    deadline = time.monotonic() + 10
    while provider.asked == asked:
        assert time.monotonic() < deadline
        try:
            assert (await theirs.get("/", Priced)).price == 7
        except Unavailable:
            await asyncio.sleep(0.02)


async def test_a_caller_that_goes_away_is_not_a_failure_of_the_system() -> None:
    provider = Provider(30.0)
    theirs = system(provider, open_after=1)
    calling = asyncio.create_task(theirs.get("/", Priced))
    await provider.heard.wait()
    calling.cancel()
    await asyncio.gather(calling, return_exceptions=True)
    provider.answers = [GOOD]
    assert (await theirs.get("/", Priced)).price == 7


async def test_connections_survive_callers_that_stop_waiting() -> None:
    """Over real sockets, with more callers at once than may ask."""
    async with _moody() as port, client.open_client(f"http://127.0.0.1:{port}") as http:
        theirs = ExternalSystem("theirs", http, timeout=0.1, open_after=10_000)
        chance = random.Random(7)

        async def call() -> None:
            for _ in range(15):
                calling = asyncio.create_task(theirs.get("/", Priced))
                if chance.random() < 0.3:
                    await asyncio.sleep(chance.random() * 0.12)
                    calling.cancel()
                await asyncio.gather(calling, return_exceptions=True)

        await asyncio.gather(*(call() for _ in range(3 * client.AT_ONCE)))
        patient = ExternalSystem("theirs", http, timeout=30, open_after=10_000)
        answers = await asyncio.gather(*(patient.get("/", Priced) for _ in range(20)))
        assert [answer.price for answer in answers] == [7] * 20


@contextlib.asynccontextmanager
async def _moody() -> AsyncIterator[int]:
    """A server that answers now and then a moment too late; yields its port."""
    chance, open_ = random.Random(7), set[asyncio.StreamWriter]()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_.add(writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while await reader.readuntil(b"\r\n\r\n"):
                await asyncio.sleep(chance.choice([0, 0.05, 0.09, 0.1, 0.11, 0.2]))
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n")
                await asyncio.sleep(chance.choice([0, 0, 0.05, 0.1]))
                writer.write(b'{"price":7}')
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
        for writer in open_:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


async def test_an_endless_answer_is_unavailable() -> None:
    huge = httpx.Response(200, text=" " * (client.LONGEST_ANSWER + 1))
    with pytest.raises(Unavailable, match="without end"):
        await system(Provider(huge)).get("/", Priced)


async def test_calls_are_counted_by_system_and_outcome() -> None:
    def count(outcome: str) -> float:
        return float(client.CALLS.labels("theirs", outcome)._value.get())

    before = count("ok"), count("failed")
    await system(Provider(GOOD)).get("/", Priced)
    with pytest.raises(Unavailable):
        await system(Provider(BROKEN)).get("/", Priced)
    assert (count("ok"), count("failed")) == (before[0] + 1, before[1] + 1)
