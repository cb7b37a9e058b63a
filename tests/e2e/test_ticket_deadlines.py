"""Tickets that nobody moves are closed by themselves, through a restart of everything."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from pathlib import Path

import pytest

from devstack.native.system import CHECKOUT, Layout, System
from kit.services.ticket_client import TicketClient
from kit.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

SECONDS = 4.0
TICKETS = int(os.environ.get("CHAOS_IDLE_TICKETS", "20"))
ROUNDS = 5
"""Where everything stands still at the wrong moment, all are closed before one could be moved."""
EVERYTHING = ("orders-worker", "processor-worker", "orders-api", "processor-api")


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TicketClient]:
    folder: Path = tmp_path_factory.mktemp("impatient")
    environment = {"TICKET_AUTO_CLOSE_HOURS": str(SECONDS / 3600)}
    with System(Layout(CHECKOUT, folder / "system"), env=environment) as system:
        yield TicketClient(system)


def answered(client: TicketClient) -> list[str]:
    tickets = [client.open() for _ in range(TICKETS)]
    assert {client.move(ticket, "answered").status_code for ticket in tickets} == {200}
    return tickets


def statuses(client: TicketClient, ticket: str) -> list[str]:
    return [entry["status"] for entry in client.history(ticket)]


def assert_closed_by_itself_in_time(client: TicketClient, tickets: list[str]) -> None:
    """Not before it had stayed as it was for so long."""
    until(lambda: {client.status(ticket) for ticket in tickets} == {"closed"}, 60)
    for ticket in tickets:
        *_, before, closed = client.history(ticket)
        assert (closed["status"], closed["reason"]) == (
            "closed",
            f"stayed {before['status']} for too long",
        )
        stayed = datetime.fromisoformat(closed["at"]) - datetime.fromisoformat(before["at"])
        assert stayed.total_seconds() >= SECONDS


def test_the_idle_are_closed_through_a_restart_of_everything(client: TicketClient) -> None:
    untouched, idle = client.open(), answered(client)
    for name in EVERYTHING:
        client.system.kill(name)
    client.system.stop_process("rabbitmq")
    client.system.start_process("rabbitmq")
    client.system.wait_ready()
    assert_closed_by_itself_in_time(client, idle)
    assert {tuple(statuses(client, ticket)) for ticket in idle} == {("open", "answered", "closed")}
    assert client.status(untouched) == "open"
    client.assert_both_services_agree()


def _is_past(moment: float) -> bool:
    return time.monotonic() > moment


def test_who_moved_a_moment_before_is_spared_and_who_was_commented_is_not(
    client: TicketClient,
) -> None:
    for _ in range(ROUNDS):
        nearly_due = time.monotonic() + SECONDS - 0.5
        tickets = answered(client)
        moved, commented = tickets[::2], tickets[1::2]
        assert {client.comment(ticket) for ticket in commented} <= {201, 409}  # 409: closed by then
        until(partial(_is_past, nearly_due), SECONDS)
        if spared := [t for t in moved if client.move(t, "awaiting_reply").is_success]:
            break
    assert spared
    assert_closed_by_itself_in_time(client, tickets)
    long_life = ["open", "answered", "awaiting_reply", "closed"]
    assert [ticket for ticket in moved if statuses(client, ticket) == long_life] == spared
    client.assert_both_services_agree()
