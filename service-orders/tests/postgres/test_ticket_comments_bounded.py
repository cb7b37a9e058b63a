"""A ticket has a thousand comments at most, whoever comes at once."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import text

from kit.services.service import Service
from kit.services.tickets import TicketApi

LIMIT = 1_000


@pytest.fixture
def tickets(service: Service) -> TicketApi:
    return TicketApi(service)


async def with_comments(tickets: TicketApi, service: Service, count: int) -> str:
    """A ticket that has so many, without as many requests."""
    ticket_id = await tickets.open()
    parameters = {"id": ticket_id, "count": count}
    async with service.work.engine.begin() as connection:
        await connection.execute(
            text(
                "INSERT INTO ticket_comments (ticket_id, version, id, email, text, created_at)"
                " SELECT CAST(:id AS uuid), n + 1, gen_random_uuid(), 'a@b', 'x', now()"
                " FROM generate_series(1, CAST(:count AS int)) AS n"
            ),
            parameters,
        )
        await connection.execute(
            text("UPDATE tickets SET version = 1 + :count WHERE id = :id"), parameters
        )
        await connection.execute(
            text("UPDATE outbox_streams SET last = 1 + :count WHERE aggregate_id = :id"),
            parameters,
        )
    return ticket_id


async def test_the_comment_past_the_last_is_refused_until_one_is_deleted(
    tickets: TicketApi, service: Service
) -> None:
    ticket_id = await with_comments(tickets, service, LIMIT - 1)
    last = await tickets.comment(ticket_id)
    assert last.status_code == 201
    refused = await tickets.comment(ticket_id)
    assert (refused.status_code, refused.json()["code"]) == (409, "too_many_comments")
    ticket = (await tickets.get(ticket_id)).json()
    assert (len(ticket["comments"]), ticket["version"]) == (LIMIT, LIMIT + 1)
    await tickets.http.delete(f"/api/v1/tickets/{ticket_id}/comments/{last.json()['id']}")
    assert (await tickets.comment(ticket_id)).status_code == 201


async def test_of_two_concurrent_comments_one_is_the_last(
    tickets: TicketApi, service: Service
) -> None:
    ticket_id = await with_comments(tickets, service, LIMIT)
    one = (await tickets.get(ticket_id)).json()["comments"][0]["id"]
    await tickets.http.delete(f"/api/v1/tickets/{ticket_id}/comments/{one}")
    answers = await asyncio.gather(*(tickets.comment(ticket_id) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]


async def test_a_full_ticket_still_moves(tickets: TicketApi, service: Service) -> None:
    ticket_id = await with_comments(tickets, service, LIMIT)
    assert (await tickets.move(ticket_id, "answered")).status_code == 200


async def test_the_limit_stands_in_the_document(service: Service) -> None:
    document = (await service.http.get("/openapi.json")).json()
    operation = document["paths"]["/api/v1/tickets/{ticket_id}/comments"]["post"]
    examples = operation["responses"]["409"]["content"]["application/problem+json"]["examples"]
    assert {"too_many_comments", "ticket_closed"} <= set(examples)
