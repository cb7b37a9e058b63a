"""Agents at the tickets of a running system, and what both services say of them afterwards.

An agent remembers what was accepted. Where an answer was lost it asks again with the same
`Idempotency-Key`, as a careful client does, so that it always knows.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx
import psycopg

from devstack.native.system import System
from kit.waiting import until

TICKET = {"subject": "No sound", "text": "The left speaker is silent.", "email": "ann@example.com"}
STATUSES = ("open", "answered", "awaiting_reply", "closed")
ALLOWED = {
    "open": {"answered", "closed"},
    "answered": {"awaiting_reply", "closed"},
    "awaiting_reply": {"answered", "closed"},
    "closed": set[str](),
}


@dataclass
class TicketClient:
    """Tickets of one system, over HTTP and in both databases."""

    system: System

    @property
    def api(self) -> str:
        return f"{self.system.urls['orders']}/api/v1/tickets"

    @property
    def timelines(self) -> str:
        return f"{self.system.urls['processor']}/api/v1/tickets"

    def open(self, **changes: str) -> str:
        answer = httpx.post(self.api, json={**TICKET, **changes}, timeout=30)
        return str(answer.raise_for_status().json()["id"])

    def move(self, ticket_id: str, status: str) -> httpx.Response:
        return httpx.patch(f"{self.api}/{ticket_id}", json={"status": status}, timeout=30)

    def comment(self, ticket_id: str) -> int:
        """The status code of the answer."""
        body = {"email": "bob@example.com", "text": "Still there?"}
        url = f"{self.api}/{ticket_id}/comments"
        return httpx.post(url, json=body, timeout=30).status_code

    def history(self, ticket_id: str) -> list[dict[str, Any]]:
        answer = httpx.get(f"{self.api}/{ticket_id}/history", timeout=30)
        items: list[dict[str, Any]] = answer.json()["items"]
        return items

    def status(self, ticket_id: str) -> str:
        return str(self.history(ticket_id)[-1]["status"])

    def rows(self, service: str, query: str) -> list[tuple[Any, ...]]:
        url = self.system.environment[service][f"DATABASE_URL_{service.upper()}"]
        with psycopg.connect(url) as database:
            return database.execute(query.encode()).fetchall()

    def versions(self) -> dict[str, int]:
        return dict(self.rows("orders", "SELECT id::text, version FROM tickets"))

    def histories(self) -> list[tuple[Any, ...]]:
        """Every status of every ticket: ticket, version, status, time, reason."""
        return self.rows(
            "orders",
            "SELECT ticket_id::text, version, status, at, reason FROM ticket_history ORDER BY 1, 2",
        )

    def recorded(self) -> list[tuple[Any, ...]]:
        """The same as the processor's timelines have it."""
        return self.rows(
            "processor",
            "SELECT ticket_id::text, version, status, at, reason FROM ticket_timeline"
            " WHERE status IS NOT NULL ORDER BY 1, 2",
        )

    def timeline_versions(self) -> dict[str, list[int]]:
        return dict(
            self.rows(
                "processor",
                "SELECT ticket_id::text, array_agg(version ORDER BY version)"
                " FROM ticket_timeline GROUP BY 1",
            )
        )

    def assert_both_services_agree(self, *, within: float = 90) -> None:
        """Timelines are histories, entry by entry; one notification per transition."""
        versions = self.versions()
        whole = {id_: list(range(1, version + 1)) for id_, version in versions.items()}
        until(lambda: self.timeline_versions() == whole, within)
        assert self.timeline_versions() == whole
        assert self.recorded() == self.histories()
        told = self.rows(
            "processor", "SELECT ticket_id::text, version FROM ticket_notifications ORDER BY 1, 2"
        )
        assert told == [entry[:2] for entry in self.histories() if entry[1] > 1]
        assert self.rows("processor", "SELECT * FROM inbox_parked") == []


@dataclass
class Agent:
    """Works at random on tickets that others work on too."""

    client: TicketClient
    tickets: list[str]
    seed: int
    answers: Counter[str] = field(default_factory=Counter)
    accepted: list[tuple[str, int]] = field(default_factory=list)
    """Every ticket and version that a change of this agent's became."""

    def work(self, until_: float) -> None:
        self.random = random.Random(self.seed)
        with httpx.Client(base_url=self.client.api, timeout=30) as self.http:
            while time.monotonic() < until_:
                self.do_something(self.random.choice(self.tickets))
                time.sleep(self.random.uniform(0, 0.02))

    def do_something(self, ticket_id: str) -> None:
        kind = self.random.random()
        if kind < 0.5:
            # Mostly not to the end, so that there is something left to do.
            status = self.random.choices(STATUSES, (1, 12, 12, 1))[0]
            self.send("PATCH", f"/{ticket_id}", {"status": status})
        elif kind < 0.9:
            body = {"email": "bob@example.com", "text": f"no. {self.random.random()}"}
            self.send("POST", f"/{ticket_id}/comments", body)
        else:
            comments = self.http.get(f"/{ticket_id}").json()["comments"]
            if comments:
                gone = self.random.choice(comments)["id"]
                answer = self.http.delete(f"/{ticket_id}/comments/{gone}")
                self.answers[f"DELETE {answer.status_code}"] += 1

    def send(self, method: str, path: str, body: dict[str, str]) -> None:
        key = {"Idempotency-Key": str(uuid4())}
        answer = self.http.request(method, path, json=body, headers=key)
        self.answers[f"{method} {answer.status_code}"] += 1
        assert answer.status_code in (200, 201, 409), answer.text
        if method == "PATCH" and answer.status_code == 200:
            self.accepted.append((path[1:], int(answer.headers["ETag"].strip('"'))))
