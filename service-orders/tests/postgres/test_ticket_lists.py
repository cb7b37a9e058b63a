"""Lists of tickets: complete, newest first, and served by an index."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlalchemy.dialects import postgresql

from kit.services.service import Service
from kit.services.tickets import TicketApi
from service_orders.domains.tickets import repository
from service_orders.domains.tickets.states import TicketStatus
from servicekit.http.pagination import PageRequest

MANY = """
INSERT INTO tickets (id, subject, text, email, status, version, status_version, created_at,
                     updated_at)
SELECT gen_random_uuid(), 's', 't', CASE WHEN n % 100 = 0 THEN 'a@b' ELSE n || '@b' END,
       CASE WHEN n % 50 = 0 THEN 'open' ELSE 'closed' END, 1, 1, now(), now()
  FROM generate_series(1, 20000) n
"""


@pytest.fixture
def tickets(service: Service) -> TicketApi:
    return TicketApi(service)


async def listed(tickets: TicketApi, **query: str) -> list[str]:
    found = await tickets.service.listed("/api/v1/tickets", **query)
    return [ticket["id"] for ticket in found]


async def test_tickets_are_listed_newest_first_by_address_and_by_status(tickets: TicketApi) -> None:
    opened = [await tickets.open(email=f"u{n % 2}@example.com") for n in range(6)]
    await tickets.move(opened[0], "closed")
    assert await listed(tickets, limit="4") == opened[::-1]
    assert await listed(tickets, email="u1@example.com", limit="2") == opened[1::2][::-1]
    assert await listed(tickets, status="closed") == [opened[0]]
    assert await listed(tickets, status="open", email="u0@example.com") == [opened[4], opened[2]]


@pytest.mark.parametrize("query", [{"status": "lost"}, {"email": "nobody"}, {"limit": "0"}])
async def test_a_malformed_query_is_refused(tickets: TicketApi, query: dict[str, str]) -> None:
    answer = await tickets.http.get("/api/v1/tickets", params=query)
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")


@pytest.mark.parametrize(
    ("email", "status", "index"),
    [
        (None, None, "tickets_pkey"),
        ("a@b", None, "tickets_by_email"),
        (None, TicketStatus.OPEN, "tickets_by_status"),
        ("a@b", TicketStatus.OPEN, "tickets_by_email_and_status"),
    ],
)
async def test_every_list_is_served_by_an_index(
    tickets: TicketApi, email: str | None, status: TicketStatus | None, index: str
) -> None:
    wanted = repository.ROWS.filtered(email=email, status=status)
    query = repository.ROWS.newest_first.select(wanted, PageRequest()).compile(
        dialect=postgresql.dialect(),  # type: ignore[no-untyped-call]
        compile_kwargs={"literal_binds": True},
    )
    async with tickets.service.work.begin() as unit:
        await unit.connection.execute(text(MANY))
        await unit.connection.execute(text("ANALYZE tickets"))
        plan = (await unit.connection.exec_driver_sql(f"EXPLAIN {query}")).scalars().all()
    assert any(index in line for line in plan), plan
    assert not any("Seq Scan" in line for line in plan), plan
