"""What the processor's deadline does to a ticket."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from kit.services.service import Service
from kit.services.tickets import Desk


@pytest.fixture
def desk(service: Service) -> Desk:
    return Desk(service)


async def test_a_ticket_that_nobody_moved_is_closed_and_says_why(desk: Desk) -> None:
    ticket_id = await desk.open()
    await desk.move(ticket_id, "answered")
    cause = await desk.close_due(ticket_id, status_version=2)
    last = (await desk.history(ticket_id))[-1]
    assert (last["status"], last["caused_by"]) == ("closed", str(cause))
    assert last["reason"] == "stayed answered for too long"
    kind, sequence, body = (await desk.events(ticket_id))[-1]
    assert (kind, sequence, body["reason"]) == ("ticket.status_changed", 3, last["reason"])


async def test_comments_do_not_keep_a_ticket_open(desk: Desk) -> None:
    ticket_id = await desk.open()
    await desk.move(ticket_id, "answered")
    comment = (await desk.comment(ticket_id)).json()
    await desk.http.delete(f"/api/v1/tickets/{ticket_id}/comments/{comment['id']}")
    await desk.close_due(ticket_id, status_version=2)
    ticket = (await desk.get(ticket_id)).json()
    assert (ticket["status"], ticket["version"]) == ("closed", 5)


async def test_a_ticket_that_has_moved_is_spared_without_a_trace(desk: Desk) -> None:
    ticket_id = await desk.open()
    for status in ("answered", "awaiting_reply", "answered"):
        await desk.move(ticket_id, status)
    before = await desk.history(ticket_id)
    await desk.close_due(ticket_id, status_version=2)
    assert await desk.history(ticket_id) == before
    assert (await desk.get(ticket_id)).json()["status"] == "answered"


async def test_a_ticket_that_somebody_closed_before_stays_as_it_is(desk: Desk) -> None:
    ticket_id = await desk.open()
    await desk.move(ticket_id, "answered")
    await desk.move(ticket_id, "closed")
    before = (await desk.get(ticket_id)).json()
    await desk.close_due(ticket_id, status_version=2)
    assert (await desk.get(ticket_id)).json() == before
    async with desk.service.work.read() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM inbox_parked"))).scalar() == 0
