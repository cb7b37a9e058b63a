"""What the processor's deadline does to a ticket."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from kit.services.service import Service
from kit.services.tickets import TicketApi


@pytest.fixture
def tickets(service: Service) -> TicketApi:
    return TicketApi(service)


async def test_an_idle_ticket_is_closed_and_its_history_says_why(tickets: TicketApi) -> None:
    ticket_id = await tickets.open()
    await tickets.move(ticket_id, "answered")
    cause = await tickets.close_due(ticket_id, status_version=2)
    last = (await tickets.history(ticket_id))[-1]
    assert (last["status"], last["caused_by"]) == ("closed", str(cause))
    assert last["reason"] == "stayed answered for too long"
    kind, sequence, body = (await tickets.events(ticket_id))[-1]
    assert (kind, sequence, body["reason"]) == ("ticket.status_changed", 3, last["reason"])


async def test_comments_do_not_keep_a_ticket_open(tickets: TicketApi) -> None:
    ticket_id = await tickets.open()
    await tickets.move(ticket_id, "answered")
    comment = (await tickets.comment(ticket_id)).json()
    await tickets.http.delete(f"/api/v1/tickets/{ticket_id}/comments/{comment['id']}")
    await tickets.close_due(ticket_id, status_version=2)
    ticket = (await tickets.get(ticket_id)).json()
    assert (ticket["status"], ticket["version"]) == ("closed", 5)


async def test_a_ticket_that_has_moved_stays_as_it_is_without_a_trace(tickets: TicketApi) -> None:
    ticket_id = await tickets.open()
    for status in ("answered", "awaiting_reply", "answered"):
        await tickets.move(ticket_id, status)
    before = await tickets.history(ticket_id)
    await tickets.close_due(ticket_id, status_version=2)
    assert await tickets.history(ticket_id) == before
    assert (await tickets.get(ticket_id)).json()["status"] == "answered"


async def test_a_ticket_that_is_closed_already_stays_as_it_is(tickets: TicketApi) -> None:
    ticket_id = await tickets.open()
    await tickets.move(ticket_id, "answered")
    await tickets.move(ticket_id, "closed")
    before = (await tickets.get(ticket_id)).json()
    await tickets.close_due(ticket_id, status_version=2)
    assert (await tickets.get(ticket_id)).json() == before
    async with tickets.service.work.read() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM inbox_parked"))).scalar() == 0


async def test_those_of_a_batch_are_closed_each_by_its_own_event(tickets: TicketApi) -> None:
    ids = [await tickets.open() for _ in range(4)]
    for ticket_id in ids:
        await tickets.move(ticket_id, "answered")
    await tickets.move(ids[1], "awaiting_reply")
    causes = await tickets.service.receive(*(tickets.due(id_, status_version=2) for id_ in ids))
    ends = {}
    for ticket_id in ids:
        last = (await tickets.history(ticket_id))[-1]
        ends[ticket_id] = (last["status"], last["caused_by"])
    closed = {
        id_: ("closed", str(cause.id))
        for id_, cause in zip(ids, causes, strict=True)
        if id_ != ids[1]
    }
    assert ends == {**closed, ids[1]: ("awaiting_reply", None)}
    assert [(await tickets.events(id_))[-1][:2] for id_ in ids] == [
        ("ticket.status_changed", 3)
    ] * 4
