"""The HTTP API of tickets for tests: open, move, comment, and read what was written."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx

from contracts.tickets import TicketCloseDue
from kit.services.service import Service

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
        return await self.service.listed(f"/api/v1/tickets/{ticket_id}/history")

    async def events(self, ticket_id: str) -> list[tuple[str, int, dict[str, Any]]]:
        """Type, sequence and body of the ticket's events in the outbox table."""
        return [
            (event.type, event.sequence, json.loads(event.payload))
            for event in await self.service.events()
            if event.aggregate_id == ticket_id
        ]

    async def close_due(self, ticket_id: str, status_version: int) -> UUID:
        """The service receives the processor's event; its id."""
        [envelope] = await self.service.receive(self.due(ticket_id, status_version))
        return envelope.id

    @staticmethod
    def due(ticket_id: str, status_version: int) -> TicketCloseDue:
        return TicketCloseDue(
            ticket_id=UUID(ticket_id),
            status_version=status_version,
            status="answered",
            due_at=datetime.now(UTC),
        )
