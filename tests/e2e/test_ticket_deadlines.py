"""Tickets that nobody moves are closed by themselves, through a restart of everything."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from devstack.native.system import CHECKOUT, Layout, System
from kit.services.ticket_client import TicketDesk
from kit.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

SECONDS = 4.0
TICKETS = int(os.environ.get("CHAOS_IDLE_TICKETS", "20"))
ROUNDS = 5
"""Where everything stands still at the wrong moment, all are closed before one could be moved."""
EVERYTHING = ("orders-worker", "processor-worker", "orders-api", "processor-api")


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TicketDesk]:
    folder: Path = tmp_path_factory.mktemp("impatient")
    environment = {"TICKET_AUTO_CLOSE_HOURS": str(SECONDS / 3600)}
    with System(Layout(CHECKOUT, folder / "system"), env=environment) as system:
        yield TicketDesk(system)


def answered(desk: TicketDesk) -> list[str]:
    tickets = [desk.open() for _ in range(TICKETS)]
    assert {desk.move(ticket, "answered").status_code for ticket in tickets} == {200}
    return tickets


def statuses(desk: TicketDesk, ticket: str) -> list[str]:
    return [entry["status"] for entry in desk.history(ticket)]


def assert_closed_by_itself_in_time(desk: TicketDesk, tickets: list[str]) -> None:
    """Not before it had stayed as it was for so long."""
    until(lambda: {desk.status(ticket) for ticket in tickets} == {"closed"}, 60)
    for ticket in tickets:
        *_, before, closed = desk.history(ticket)
        assert (closed["status"], closed["reason"]) == (
            "closed",
            f"stayed {before['status']} for too long",
        )
        stayed = datetime.fromisoformat(closed["at"]) - datetime.fromisoformat(before["at"])
        assert stayed.total_seconds() >= SECONDS


def test_the_idle_are_closed_through_a_restart_of_everything(desk: TicketDesk) -> None:
    untouched, idle = desk.open(), answered(desk)
    for name in EVERYTHING:
        desk.system.kill(name)
    desk.system.stop_process("rabbitmq")
    desk.system.start_process("rabbitmq")
    desk.system.wait_ready()
    assert_closed_by_itself_in_time(desk, idle)
    assert {tuple(statuses(desk, ticket)) for ticket in idle} == {("open", "answered", "closed")}
    assert desk.status(untouched) == "open"
    desk.assert_both_services_agree()


def test_who_moved_a_moment_before_is_spared_and_who_was_commented_is_not(
    desk: TicketDesk,
) -> None:
    for _ in range(ROUNDS):
        began = time.monotonic()
        tickets = answered(desk)
        moved, commented = tickets[::2], tickets[1::2]
        assert {desk.comment(ticket) for ticket in commented} <= {201, 409}  # 409: closed by then
        until(lambda began=began: time.monotonic() > began + SECONDS - 0.5, SECONDS)  # type: ignore[misc]
        if spared := [t for t in moved if desk.move(t, "awaiting_reply").is_success]:
            break
    assert spared
    assert_closed_by_itself_in_time(desk, tickets)
    long_life = ["open", "answered", "awaiting_reply", "closed"]
    assert [ticket for ticket in moved if statuses(desk, ticket) == long_life] == spared
    desk.assert_both_services_agree()
