"""Several at one ticket: the row lets one after the other.

`CHAOS_TICKETS` sets how many tickets are raced for.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter

import httpx
import pytest

from kit.services.service import Service
from kit.services.tickets import TicketApi

TICKETS = int(os.environ.get("CHAOS_TICKETS", "60"))
AT_ONCE = 8

pytestmark = [pytest.mark.timeout(300), pytest.mark.usefixtures("patience")]


@pytest.fixture
def tickets(service: Service) -> TicketApi:
    return TicketApi(service)


async def raced(
    tickets: TicketApi, ticket_id: str, *statuses: str
) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """What each was answered, and the history that came of it."""
    answers = await asyncio.gather(*(tickets.move(ticket_id, status) for status in statuses))
    history = await tickets.history(ticket_id)
    return tuple(one.status_code for one in answers), tuple(item["status"] for item in history)


async def each_ticket(
    tickets: TicketApi, count: int, *statuses: str
) -> Counter[tuple[object, ...]]:
    ends: Counter[tuple[object, ...]] = Counter()
    for start in range(0, count, AT_ONCE):
        opened = [await tickets.open() for _ in range(min(AT_ONCE, count - start))]
        ends.update(await asyncio.gather(*(raced(tickets, one, *statuses) for one in opened)))
    return ends


async def test_close_against_answer_ends_as_one_of_their_two_orders(tickets: TicketApi) -> None:
    ends = await each_ticket(tickets, TICKETS, "closed", "answered")
    print(f"\nclose against answer on {TICKETS} tickets: {dict(ends)}")  # noqa: T201
    assert set(ends) <= {
        ((200, 409), ("open", "closed")),
        ((200, 200), ("open", "answered", "closed")),
    }


async def test_of_two_answers_one_is_checked_against_the_status_the_other_left(
    tickets: TicketApi,
) -> None:
    ends = await each_ticket(tickets, TICKETS // 4, "answered", "answered")
    assert set(ends) <= {((200, 409), ("open", "answered")), ((409, 200), ("open", "answered"))}


async def test_of_many_that_name_one_version_one_wins(tickets: TicketApi) -> None:
    ticket_id = await tickets.open()
    answers = await asyncio.gather(
        *(tickets.move(ticket_id, "answered", If_Match='"1"') for _ in range(20))
    )
    assert Counter(answer.status_code for answer in answers) == {200: 1, 412: 19}


async def test_no_comment_comes_after_the_close_it_raced_with(tickets: TicketApi) -> None:
    for _ in range(TICKETS // 4):
        ticket_id = await tickets.open()
        closing, *comments = await asyncio.gather(
            tickets.move(ticket_id, "closed"), *(tickets.comment(ticket_id) for _ in range(6))
        )
        taken = [answer.json() for answer in comments if answer.status_code == 201]
        refused: list[httpx.Response] = [one for one in comments if one.status_code != 201]
        assert {answer.json()["code"] for answer in refused} <= {"ticket_closed"}
        ticket = (await tickets.get(ticket_id)).json()
        assert closing.status_code == 200
        assert (ticket["status"], ticket["version"]) == ("closed", 2 + len(taken))
        assert {one["id"] for one in ticket["comments"]} == {one["id"] for one in taken}
        events = await tickets.events(ticket_id)
        assert [sequence for _, sequence, _ in events] == list(range(1, 3 + len(taken)))
        assert [body["ticket_version"] for _, _, body in events] == [s for _, s, _ in events]
        assert events[-1][0] == "ticket.status_changed"
