"""The HTTP API of tickets for tests: open, move, comment, and read what was written."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx
from sqlalchemy import text
from uuid_utils.compat import uuid7

from contracts.tickets import TicketCloseDue
from kit.services.service import Service
from outbox import Envelope, Inbox, Stream
from service_orders.domains.tickets.handlers import on as HANDLERS

TICKET = {"subject": "No sound", "text": "The left speaker is silent.", "email": "ann@example.com"}
COMMENT = {"email": "bob@example.com", "text": "Is it plugged in?"}


@dataclass
class TicketApi:
    service: Service

    @property
    def http(self) -> httpx.AsyncClient:
        return self.service.http

    async def open(self, **changes: Any) -> str:
        answer = await self.http.post("/api/v1/tickets", json={**TICKET, **changes})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    async def move(self, ticket_id: str, status: str, **headers: str) -> httpx.Response:
        url, names = (
            f"/api/v1/tickets/{ticket_id}",
            {k.replace("_", "-"): v for k, v in headers.items()},
        )
        return await self.http.patch(url, json={"status": status}, headers=names)

    async def comment(self, ticket_id: str, **changes: Any) -> httpx.Response:
        url = f"/api/v1/tickets/{ticket_id}/comments"
        return await self.http.post(url, json={**COMMENT, **changes})

    async def get(self, ticket_id: str, **headers: str) -> httpx.Response:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.http.get(f"/api/v1/tickets/{ticket_id}", headers=names)

    async def history(self, ticket_id: str) -> list[dict[str, Any]]:
        answer = await self.http.get(f"/api/v1/tickets/{ticket_id}/history")
        items: list[dict[str, Any]] = answer.json()["items"]
        return items

    async def events(self, ticket_id: str) -> list[tuple[str, int, dict[str, Any]]]:
        """Type, sequence and body of the ticket's events in the log."""
        found = "SELECT type, sequence, payload FROM outbox WHERE aggregate_id = :id ORDER BY id"
        async with self.service.work.read() as connection:
            rows = await connection.execute(text(found), {"id": ticket_id})
            return [(row.type, row.sequence, row.payload) for row in rows]

    async def close_due(self, ticket_id: str, status_version: int, sequence: int = 1) -> UUID:
        """What the consumer does with the processor's event; its id."""
        now = datetime.now(UTC)
        event = TicketCloseDue(
            ticket_id=UUID(ticket_id), status_version=status_version, status="answered", due_at=now
        )
        stream = Stream("service-processor", "ticket", ticket_id)
        envelope = Envelope(uuid7(), stream, sequence, event.type, 1, now, event.payload(), "c")
        await Inbox("orders.tickets", HANDLERS, self.service.work).handle([envelope])
        return envelope.id
