"""A large body waits for other large bodies, and no other request waits for them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import httpx
import pytest
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from bench.bodies import MANY_VALUES_IN_FEW_BYTES
from servicekit.http.body_limit import BodyLimit
from servicekit.http.edge import Edge
from servicekit.http.large_body_queue import LARGE, MANY, WAITING, LargeBodyQueue
from servicekit.http.problems import Overloaded
from servicekit.http.strict_json import MalformedJson
from servicekit.observe.metrics import HttpMetrics
from servicekit.observe.requests import RequestObserver

LARGE_BODY, SMALL_BODY = b'"' + b"x" * LARGE + b'"', b'"x"'
MANY_VALUES = b"[" + b"0," * MANY + b"0]"
JSON = {"content-type": "application/json"}


async def here() -> bool:
    return False


async def gone() -> bool:
    return True


@pytest.mark.parametrize("large", [LARGE_BODY, MANY_VALUES], ids=["bytes", "values"])
async def test_a_small_body_is_read_between_two_large_ones(large: bytes) -> None:
    read: list[int] = []
    bodies = LargeBodyQueue(lambda body: read.append(len(body)))
    async with asyncio.TaskGroup() as group:
        for body in (large, large, SMALL_BODY, SMALL_BODY):
            group.create_task(bodies.parse(body, here))
    assert read == [len(large), 3, 3, len(large)]


def test_the_most_expensive_short_body_counts_as_large() -> None:
    assert len(MANY_VALUES_IN_FEW_BYTES) <= LARGE
    assert MANY_VALUES_IN_FEW_BYTES.count(b",") > MANY


async def test_a_refused_body_gives_its_turn_to_the_next() -> None:
    bodies = LargeBodyQueue()
    refused = bodies.parse(b"[" * 2 + b" " * LARGE, here)
    with pytest.raises(MalformedJson):
        await refused
    assert await bodies.parse(LARGE_BODY, here) == "x" * LARGE


async def test_a_caller_that_hangs_up_while_waiting_leaves_the_queue_in_order() -> None:
    bodies = LargeBodyQueue()
    first, second, third = (asyncio.create_task(bodies.parse(LARGE_BODY, here)) for _ in range(3))
    await asyncio.sleep(0)
    second.cancel()
    assert await first == await third
    assert second.cancelled()


async def outcomes(
    bodies: LargeBodyQueue, count: int, is_gone: Callable[[], Awaitable[bool]] = here
) -> list[object]:
    asked = (bodies.parse(LARGE_BODY, is_gone) for _ in range(count))
    return [
        one if isinstance(one, str) else type(one)
        for one in await asyncio.gather(*asked, return_exceptions=True)
    ]


async def test_a_full_queue_refuses_and_a_later_body_is_read() -> None:
    bodies = LargeBodyQueue(lambda _: "read")
    # The first has its turn at once, and waits no longer.
    assert await outcomes(bodies, WAITING + 3) == ["read"] * (WAITING + 1) + [Overloaded] * 2
    assert await outcomes(bodies, 1) == ["read"]


async def test_the_body_of_a_caller_that_has_gone_is_not_read() -> None:
    read: list[bytes] = []
    bodies = LargeBodyQueue(read.append)
    assert await outcomes(bodies, 3, gone) == [ClientDisconnect] * 3
    assert read == []
    await bodies.parse(LARGE_BODY, here)
    assert read == [LARGE_BODY]


async def test_a_caller_that_waited_too_long_is_asked_to_come_again() -> None:
    bodies, over = LargeBodyQueue(lambda _: "read", patience=0.01), asyncio.Event()

    async def until_over() -> bool:
        await over.wait()
        return False

    first = asyncio.create_task(bodies.parse(LARGE_BODY, until_over))
    assert await outcomes(bodies, 2) == [Overloaded] * 2
    over.set()
    assert await first == "read"
    assert await outcomes(bodies, 1) == ["read"]


async def test_too_many_large_bodies_are_503_and_say_when_to_come_again(
    client: httpx.AsyncClient,
) -> None:
    posts = (client.post("/api/v1/toys", content=LARGE_BODY, headers=JSON) for _ in range(40))
    answers = await asyncio.gather(*posts)
    refused = [answer for answer in answers if answer.status_code != 422]
    assert 0 < len(refused) < 40
    for answer in refused:
        assert (answer.status_code, answer.json()["code"]) == (503, "overloaded")
        assert answer.headers["retry-after"] == "1"


async def test_the_size_of_all_bodies_is_bounded_and_a_small_one_is_still_accepted(
    metrics: HttpMetrics,
) -> None:
    enough = asyncio.Event()

    async def keeps_its_body(scope: Scope, receive: Receive, send: Send) -> None:
        message = await receive()
        await enough.wait()
        await Response(message["body"])(scope, receive, send)

    limit = BodyLimit(held=2 * len(LARGE_BODY))
    edge = Edge(keeps_its_body, RequestObserver(metrics), bodies=limit)
    transport = httpx.ASGITransport(edge)
    async with httpx.AsyncClient(transport=transport, base_url="http://t") as http:

        async def sent(body: bytes) -> int:
            return (await http.post("/", content=body)).status_code

        async with asyncio.TaskGroup() as group:
            kept = [group.create_task(sent(LARGE_BODY)) for _ in range(2)]
            await asyncio.sleep(0)
            assert await sent(LARGE_BODY) == 503
            kept.append(group.create_task(sent(SMALL_BODY)))
            enough.set()
        assert [task.result() for task in kept] == [200] * 3
        assert await sent(LARGE_BODY) == 200
