"""Timelines, notifications and deadlines, by events as they are delivered."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from contracts import Contract
from contracts.tickets import (
    PROCESSOR_TICKETS,
    TicketCloseDue,
    TicketCommentDeleted,
    TicketCommented,
    TicketCreated,
    TicketStatusChanged,
)
from kit.services.service import Service
from service_processor.domains.tickets.handlers import handlers
from service_processor.domains.tickets.service import AutoClose

TICKET, COMMENT = UUID(int=7), UUID(int=8)
LONG = timedelta(hours=72)
"""The default of TICKET_AUTO_CLOSE_HOURS."""
THEN = datetime(2026, 5, 1, 12, tzinfo=UTC)


def created() -> TicketCreated:
    return TicketCreated(
        ticket_id=TICKET, ticket_version=1, subject="s", email="a@b", status="open", created_at=THEN
    )


def moved(version: int, previous: Any, status: Any, at: datetime = THEN) -> TicketStatusChanged:
    return TicketStatusChanged(
        ticket_id=TICKET,
        ticket_version=version,
        email="a@b",
        previous=previous,
        status=status,
        reason=None,
        changed_at=at,
    )


def commented(version: int) -> TicketCommented:
    return TicketCommented(
        ticket_id=TICKET, ticket_version=version, comment_id=COMMENT, email="c@d", commented_at=THEN
    )


def comment_deleted(version: int) -> TicketCommentDeleted:
    return TicketCommentDeleted(
        ticket_id=TICKET, ticket_version=version, comment_id=COMMENT, deleted_at=THEN
    )


LIFE: list[Contract] = [
    created(),
    moved(2, "open", "answered"),
    commented(3),
    comment_deleted(4),
    moved(5, "answered", "closed"),
]


async def timeline(service: Service) -> list[dict[str, Any]]:
    return await service.listed(f"/tickets/{TICKET}/timeline")


async def notifications(service: Service) -> list[dict[str, Any]]:
    return await service.listed(f"/tickets/{TICKET}/notifications")


async def scheduled(service: Service) -> list[Any]:
    found = "SELECT key, type, due_at, payload FROM outbox_scheduled"
    async with service.work.read() as connection:
        return list((await connection.execute(text(found))).all())


async def test_the_timeline_is_every_version_in_order_whatever_order_they_come_in(
    service: Service,
) -> None:
    events = service.envelopes(*LIFE)
    for event in [events[3], events[1], events[4], *events[::-1], *events]:
        await service.deliver(event)
    entries = await timeline(service)
    assert [entry["version"] for entry in entries] == [1, 2, 3, 4, 5]
    assert [entry["status"] for entry in entries] == ["open", "answered", None, None, "closed"]
    assert [entry["event_id"] for entry in entries] == [str(event.id) for event in events]
    assert {entry["comment_id"] for entry in entries[2:4]} == {str(COMMENT)}


async def test_each_transition_is_notified_once_however_often_it_is_delivered(
    service: Service,
) -> None:
    events = service.envelopes(*LIFE)
    for _ in range(3):
        assert await service.deliver(*events) == []
    sent = await notifications(service)
    assert [(one["version"], one["previous"], one["status"]) for one in sent] == [
        (2, "open", "answered"),
        (5, "answered", "closed"),
    ]
    assert {one["email"] for one in sent} == {"a@b"}


async def test_a_transition_is_notified_once_even_if_the_inbox_was_lost(service: Service) -> None:
    events = await service.receive(*LIFE)
    async with service.work.begin() as unit:
        await unit.connection.execute(text("DELETE FROM inbox"))
    assert await service.deliver(*events) == []
    assert len(await timeline(service)) == 5
    assert len(await notifications(service)) == 2


@pytest.mark.parametrize("what", ["timeline", "notifications"])
async def test_an_unknown_ticket_is_a_problem(service: Service, what: str) -> None:
    answer = await service.http.get(f"/tickets/{uuid4()}/{what}")
    assert (answer.status_code, answer.json()["code"]) == (404, "ticket_not_found")


async def test_a_ticket_that_was_never_moved_has_no_notification(service: Service) -> None:
    await service.receive(created())
    assert await notifications(service) == []


async def test_an_open_ticket_is_not_closed_by_itself(service: Service) -> None:
    await service.receive(created())
    assert await scheduled(service) == []


async def test_a_transition_restarts_the_clock_and_a_comment_does_not(service: Service) -> None:
    later = THEN + timedelta(hours=5)
    await service.receive(
        created(),
        moved(2, "open", "answered"),
        moved(3, "answered", "awaiting_reply", later),
        commented(4),
        comment_deleted(5),
    )
    [(key, kind, due_at, payload)] = await scheduled(service)
    due = TicketCloseDue.model_validate(payload)
    assert (key, kind, due_at) == (f"ticket/{TICKET}/close", "ticket.close_due", later + LONG)
    assert (due.status_version, due.status, due.due_at) == (3, "awaiting_reply", later + LONG)


async def test_a_closed_ticket_has_no_deadline(service: Service) -> None:
    await service.receive(*LIFE)
    assert await scheduled(service) == []


async def test_a_batch_of_transitions_leaves_the_deadlines_of_the_idle_tickets(
    service: Service,
) -> None:
    tickets = [UUID(int=number) for number in (1, 2, 3)]
    of_each = [
        [event.model_copy(update={"ticket_id": id_}) for id_ in tickets]
        for event in (created(), moved(2, "open", "answered"), moved(3, "answered", "closed"))
    ]
    await service.receive(*of_each[0], *of_each[1], of_each[2][1])
    keys = {key for key, *_ in await scheduled(service)}
    assert keys == {f"ticket/{id_}/close" for id_ in (tickets[0], tickets[2])}


async def test_the_deadline_counts_from_the_transition_not_from_when_we_heard_of_it(
    service: Service,
) -> None:
    hasty = handlers(AutoClose(timedelta(seconds=1)))
    service = service.with_handlers(PROCESSOR_TICKETS.queue, hasty)
    await service.receive(created(), moved(2, "open", "answered"))
    [(_, _, due_at, _)] = await scheduled(service)
    assert due_at == THEN + timedelta(seconds=1)
