"""Timelines, notifications and deadlines, by events as they are delivered."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import text
from uuid_utils.compat import uuid7

from contracts import Contract
from contracts.tickets import (
    TicketCloseDue,
    TicketCommentDeleted,
    TicketCommented,
    TicketCreated,
    TicketStatusChanged,
)
from outbox import Envelope, Inbox, Stream, Work
from service_processor import bootstrap
from service_processor.domains.tickets.handlers import handlers
from service_processor.domains.tickets.service import AutoClose
from service_processor.settings import Settings
from servicekit.observe.metrics import HttpMetrics

TICKET, COMMENT = UUID(int=7), UUID(int=8)
LONG = timedelta(hours=72)
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


def delivered(*events: Contract) -> list[Envelope]:
    """Each version is the event's place in the stream."""
    return [
        Envelope(
            uuid7(),
            Stream("service-orders", "ticket", event.aggregate_id),
            event.ticket_version,  # type: ignore[attr-defined]
            event.type,
            1,
            THEN,
            event.payload(),
            "c",
        )
        for event in events
    ]


def inbox(work: Work, closes_after: timedelta = LONG) -> Inbox:
    return Inbox("processor.tickets", handlers(AutoClose(closes_after)), work)


@pytest.fixture
async def http(work: Work) -> AsyncIterator[httpx.AsyncClient]:
    variables = {"DATABASE_URL_PROCESSOR": "postgresql://nobody@127.0.0.1:1/nothing"}
    settings = Settings.model_validate({**variables, "rabbitmq_url": "amqp://a:b@127.0.0.1:1/"})
    dependencies = bootstrap.build_dependencies(settings, work)
    app = bootstrap.build_app(settings, dependencies, metrics=HttpMetrics(CollectorRegistry()))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://processor") as client:
        yield client


async def shown(http: httpx.AsyncClient, what: str) -> list[dict[str, Any]]:
    answer = await http.get(f"/api/v1/tickets/{TICKET}/{what}")
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def scheduled(work: Work) -> list[Any]:
    found = "SELECT key, type, due_at, payload FROM outbox_scheduled"
    async with work.read() as connection:
        return list((await connection.execute(text(found))).all())


async def test_the_timeline_is_every_version_in_order_whatever_order_they_come_in(
    work: Work, http: httpx.AsyncClient
) -> None:
    events = delivered(*LIFE)
    for event in [events[3], events[1], events[4], *events[::-1], *events]:
        await inbox(work).handle([event])
    entries = await shown(http, "timeline")
    assert [entry["version"] for entry in entries] == [1, 2, 3, 4, 5]
    assert [entry["status"] for entry in entries] == ["open", "answered", None, None, "closed"]
    assert [entry["event_id"] for entry in entries] == [str(event.id) for event in events]
    assert {entry["comment_id"] for entry in entries[2:4]} == {str(COMMENT)}


async def test_each_transition_is_notified_once_however_often_it_is_delivered(
    work: Work, http: httpx.AsyncClient
) -> None:
    events = delivered(*LIFE)
    for _ in range(3):
        await inbox(work).handle(events)
    told = await shown(http, "notifications")
    assert [(one["version"], one["previous"], one["status"]) for one in told] == [
        (2, "open", "answered"),
        (5, "answered", "closed"),
    ]
    assert {one["email"] for one in told} == {"a@b"}


async def test_a_transition_is_notified_once_even_if_the_inbox_was_lost(
    work: Work, http: httpx.AsyncClient
) -> None:
    events = delivered(*LIFE)
    await inbox(work).handle(events)
    async with work.begin() as unit:
        await unit.connection.execute(text("DELETE FROM inbox"))
    await inbox(work).handle(events)
    assert len(await shown(http, "timeline")) == 5
    assert len(await shown(http, "notifications")) == 2


@pytest.mark.parametrize("what", ["timeline", "notifications"])
async def test_an_unknown_ticket_is_a_problem(http: httpx.AsyncClient, what: str) -> None:
    answer = await http.get(f"/api/v1/tickets/{uuid4()}/{what}")
    assert (answer.status_code, answer.json()["code"]) == (404, "ticket_not_found")


async def test_a_ticket_that_was_never_moved_has_no_notification(
    work: Work, http: httpx.AsyncClient
) -> None:
    await inbox(work).handle(delivered(created()))
    assert await shown(http, "notifications") == []


async def test_an_open_ticket_is_not_closed_by_itself(work: Work) -> None:
    await inbox(work).handle(delivered(created()))
    assert await scheduled(work) == []


async def test_a_transition_restarts_the_clock_and_a_comment_does_not(work: Work) -> None:
    later = THEN + timedelta(hours=5)
    await inbox(work).handle(
        delivered(
            created(),
            moved(2, "open", "answered"),
            moved(3, "answered", "awaiting_reply", later),
            commented(4),
            comment_deleted(5),
        )
    )
    [(key, kind, due_at, payload)] = await scheduled(work)
    due = TicketCloseDue.model_validate(payload)
    assert (key, kind, due_at) == (f"ticket/{TICKET}/close", "ticket.close_due", later + LONG)
    assert (due.status_version, due.status, due.due_at) == (3, "awaiting_reply", later + LONG)


async def test_a_closed_ticket_has_no_deadline(work: Work) -> None:
    await inbox(work).handle(delivered(*LIFE))
    assert await scheduled(work) == []


async def test_the_deadline_counts_from_the_transition_not_from_when_we_heard_of_it(
    work: Work,
) -> None:
    await inbox(work, timedelta(seconds=1)).handle(
        delivered(created(), moved(2, "open", "answered"))
    )
    [(_, _, due_at, _)] = await scheduled(work)
    assert due_at == THEN + timedelta(seconds=1)
