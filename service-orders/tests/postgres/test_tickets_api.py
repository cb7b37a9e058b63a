"""Tickets over HTTP, on the real database."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from kit.services.service import Service
from kit.services.tickets import COMMENT, TICKET, TicketApi

NOWHERE = f"/api/v1/tickets/{UUID(int=7)}"


@pytest.fixture
def tickets(service: Service) -> TicketApi:
    return TicketApi(service)


async def test_a_ticket_is_always_opened_open(tickets: TicketApi) -> None:
    answer = await tickets.http.post("/api/v1/tickets/", json={**TICKET, "status": "closed"})
    ticket = answer.json()
    assert answer.status_code == 201
    assert (ticket["status"], ticket["version"], ticket["comments"]) == ("open", 1, [])
    assert answer.headers["ETag"] == '"1"'
    read = await tickets.http.get(answer.headers["Location"])
    assert (read.json(), read.headers["ETag"]) == (ticket, '"1"')


async def test_each_version_has_one_event_of_the_same_sequence(tickets: TicketApi) -> None:
    ticket_id = await tickets.open()
    await tickets.move(ticket_id, "answered")
    comment = (await tickets.comment(ticket_id)).json()
    await tickets.http.delete(f"/api/v1/tickets/{ticket_id}/comments/{comment['id']}")
    events = await tickets.events(ticket_id)
    assert [(kind, sequence) for kind, sequence, _ in events] == [
        ("ticket.created", 1),
        ("ticket.status_changed", 2),
        ("ticket.commented", 3),
        ("ticket.comment_deleted", 4),
    ]
    assert [body["ticket_version"] for _, _, body in events] == [1, 2, 3, 4]
    assert (await tickets.get(ticket_id)).json()["version"] == 4


async def test_comments_come_oldest_first_and_leave_the_status(tickets: TicketApi) -> None:
    ticket_id = await tickets.open()
    added = [(await tickets.comment(ticket_id, text=f"no. {n}")).json() for n in range(5)]
    ticket = (await tickets.get(ticket_id)).json()
    assert ticket["comments"] == added
    assert {comment["ticket_id"] for comment in added} == {ticket_id}
    assert (ticket["status"], ticket["version"]) == ("open", 6)


async def test_a_deleted_comment_is_gone_and_moves_the_version(tickets: TicketApi) -> None:
    ticket_id = await tickets.open()
    first, second = [(await tickets.comment(ticket_id)).json() for _ in range(2)]
    url = f"/api/v1/tickets/{ticket_id}/comments/{first['id']}"
    answer = await tickets.http.delete(url)
    assert (answer.status_code, answer.content) == (204, b"")
    ticket = (await tickets.get(ticket_id)).json()
    assert (ticket["comments"], ticket["version"]) == ([second], 4)
    again = await tickets.http.delete(url)
    assert (again.status_code, again.json()["code"]) == (404, "comment_not_found")
    assert (await tickets.get(ticket_id)).json()["version"] == 4


async def test_a_comment_is_deleted_from_its_own_ticket_only(tickets: TicketApi) -> None:
    one, other = [await tickets.open() for _ in range(2)]
    comment = (await tickets.comment(one)).json()
    answer = await tickets.http.delete(f"/api/v1/tickets/{other}/comments/{comment['id']}")
    assert (answer.status_code, answer.json()["code"]) == (404, "comment_not_found")


async def test_an_illegal_transition_says_what_is_allowed_and_leaves_no_trace(
    tickets: TicketApi,
) -> None:
    ticket_id = await tickets.open()
    before = (await tickets.get(ticket_id)).json()
    answer = await tickets.move(ticket_id, "awaiting_reply")
    assert (answer.status_code, answer.json()["code"]) == (409, "illegal_transition")
    assert answer.json()["allowed"] == ["answered", "closed"]
    assert (await tickets.get(ticket_id)).json() == before
    assert len(await tickets.history(ticket_id)) == len(await tickets.events(ticket_id)) == 1


async def test_a_closed_ticket_takes_no_transition_and_no_comment(tickets: TicketApi) -> None:
    ticket_id = await tickets.open()
    comment = (await tickets.comment(ticket_id)).json()
    await tickets.move(ticket_id, "closed")
    for status in ("open", "answered", "awaiting_reply", "closed"):
        refused = await tickets.move(ticket_id, status)
        assert (refused.status_code, refused.json()["allowed"]) == (409, [])
    refused = await tickets.comment(ticket_id)
    assert (refused.status_code, refused.json()["code"]) == (409, "ticket_closed")
    gone = await tickets.http.delete(f"/api/v1/tickets/{ticket_id}/comments/{comment['id']}")
    assert gone.status_code == 204


async def test_a_stale_version_is_refused_before_the_transition_is_checked(
    tickets: TicketApi,
) -> None:
    ticket_id = await tickets.open()
    await tickets.comment(ticket_id)
    for stale in ('"1"', 'W/"2"', '"one", "two"', "2", ""):
        answer = await tickets.move(ticket_id, "awaiting_reply", If_Match=stale)
        assert (answer.status_code, answer.json()["code"]) == (412, "precondition_failed"), stale
        assert answer.json()["version"] == 2
    moved = await tickets.move(ticket_id, "answered", If_Match='"1", "2"')
    assert (moved.status_code, moved.headers["ETag"]) == (200, '"3"')
    assert moved.json() == (await tickets.get(ticket_id)).json()
    assert (await tickets.move(ticket_id, "closed", If_Match="*")).status_code == 200


async def test_what_the_caller_has_already_is_not_sent_again(tickets: TicketApi) -> None:
    ticket_id = await tickets.open()
    for known in ('"1"', 'W/"1"', '"0", "1"', "*"):
        answer = await tickets.get(ticket_id, If_None_Match=known)
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["ETag"] == '"1"'
    await tickets.comment(ticket_id)
    assert (await tickets.get(ticket_id, If_None_Match='"1"')).status_code == 200


async def test_history_has_every_status_from_the_first(tickets: TicketApi) -> None:
    ticket_id = await tickets.open()
    for status in ("answered", "awaiting_reply", "closed"):
        await tickets.comment(ticket_id)
        await tickets.move(ticket_id, status)
    items = await tickets.history(ticket_id)
    assert [item["status"] for item in items] == ["open", "answered", "awaiting_reply", "closed"]
    assert {(item["reason"], item["caused_by"]) for item in items} == {(None, None)}
    assert [item["at"] for item in items] == sorted(item["at"] for item in items)


@pytest.mark.parametrize(
    ("method", "tail", "body"),
    [
        ("GET", "", None),
        ("GET", "/history", None),
        ("PATCH", "", {"status": "closed"}),
        ("POST", "/comments", COMMENT),
        ("DELETE", f"/comments/{UUID(int=8)}", None),
    ],
)
async def test_an_unknown_ticket_is_a_problem(
    tickets: TicketApi, method: str, tail: str, body: dict[str, Any] | None
) -> None:
    answer = await tickets.http.request(method, NOWHERE + tail, json=body)
    assert (answer.status_code, answer.json()["code"]) == (404, "ticket_not_found")


@pytest.mark.parametrize(
    "change",
    [
        {"subject": ""},
        {"subject": "x" * 201},
        {"text": "x" * 10_001},
        {"text": None},
        {"text": "a\u0000b"},
        {"email": "nobody"},
        {"email": "two@at@once"},
        {"email": "a b@c"},
        {"email": "@"},
        {"email": f"{'x' * 250}@example.com"},
    ],
)
async def test_what_breaks_a_limit_is_refused(tickets: TicketApi, change: dict[str, Any]) -> None:
    answer = await tickets.http.post("/api/v1/tickets", json={**TICKET, **change})
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")


@pytest.mark.parametrize("change", [{"text": ""}, {"text": "x" * 10_001}, {"email": "nobody"}])
async def test_a_comment_that_breaks_a_limit_is_refused(
    tickets: TicketApi, change: dict[str, Any]
) -> None:
    ticket_id = await tickets.open(subject="x" * 200, text="")
    assert (await tickets.comment(ticket_id, **change)).status_code == 422
    assert (await tickets.move(ticket_id, "lost")).status_code == 422
    assert (await tickets.get(ticket_id)).json()["version"] == 1


async def test_a_transition_and_a_comment_happen_once_per_key(tickets: TicketApi) -> None:
    ticket_id = await tickets.open()
    first = await tickets.move(ticket_id, "answered", Idempotency_Key="m")
    again = await tickets.move(ticket_id, "answered", Idempotency_Key="m")
    assert (first.content, first.headers["ETag"]) == (again.content, again.headers["ETag"])
    assert again.headers["Idempotency-Replayed"] == "true"
    other = await tickets.move(ticket_id, "closed", Idempotency_Key="m")
    assert other.json()["code"] == "idempotency_key_reused"
    url, key = f"/api/v1/tickets/{ticket_id}/comments", {"Idempotency-Key": "c"}
    said = [await tickets.http.post(url, json=COMMENT, headers=key) for _ in range(2)]
    assert said[0].json() == said[1].json()
    assert (await tickets.get(ticket_id)).json()["version"] == 3
