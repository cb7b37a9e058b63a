"""A row that somebody holds and does not let go costs those who want it, and nobody else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import psycopg
import pytest

from kit.services.service import Service
from kit.services.tickets import TicketApi

POOL = 10
ENDS_WITHIN = 40.0


@pytest.fixture
def tickets(service: Service) -> TicketApi:
    return TicketApi(service)


@pytest.fixture
async def held(tickets: TicketApi) -> AsyncIterator[str]:
    """A ticket in the transaction of a process that was stopped in mid-way."""
    ticket_id = await tickets.open()
    async with await psycopg.AsyncConnection.connect(tickets.service.url) as holder:
        await holder.execute("SELECT 1 FROM tickets WHERE id = %s FOR UPDATE", [ticket_id])
        yield ticket_id


async def test_requests_for_a_row_that_is_held_end_and_leave_the_others_their_connections(
    tickets: TicketApi, held: str
) -> None:
    async with asyncio.timeout(ENDS_WITHIN):
        waiting = [asyncio.create_task(tickets.move(held, "answered")) for _ in range(POOL)]
        others = asyncio.create_task(until_answered(tickets.http))
        refused = await asyncio.gather(*waiting)
        await others
    for answer in refused:
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert answer.json()["detail"].startswith("Another request holds what this one needs")


async def until_answered(http: httpx.AsyncClient) -> None:
    while (await http.get("/api/v1/tickets")).status_code != 200:
        pass
