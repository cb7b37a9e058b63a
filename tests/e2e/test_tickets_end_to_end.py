"""Many work on the same tickets at once while relays and consumers die; both services agree.

CHAOS_AGENTS, CHAOS_TICKETS and CHAOS_TICKET_SECONDS set how many and how long; a short share
of it runs with all other tests.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from devstack.native.system import System
from kit.services.order_client import Shop
from kit.services.ticket_client import ALLOWED, Agent, TicketClient

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

AGENTS = int(os.environ.get("CHAOS_AGENTS", "12"))
TICKETS = int(os.environ.get("CHAOS_TICKETS", "40"))
SECONDS = float(os.environ.get("CHAOS_TICKET_SECONDS", "6"))
KILL_EVERY = 1.5


def kill_one_after_the_other(system: System, until: float) -> int:
    """SIGKILL the workers, which are relay and consumer, one after the other."""
    kills = 0
    while time.monotonic() < until:
        time.sleep(KILL_EVERY)
        system.kill(("processor-worker", "orders-worker")[kills % 2])
        kills += 1
    return kills


def test_timelines_are_histories_whatever_dies(shop: Shop) -> None:
    system, client = shop.system, TicketClient(shop.system)
    tickets = [client.open() for _ in range(TICKETS)]
    agents = [Agent(client, tickets, seed) for seed in range(AGENTS)]
    with ThreadPoolExecutor(AGENTS) as pool:
        until = time.monotonic() + SECONDS
        working = [pool.submit(agent.work, until) for agent in agents]
        kills = kill_one_after_the_other(system, until)
        for one in working:
            one.result()
    answers = sum((agent.answers for agent in agents), Counter[str]())
    print(f"\n{AGENTS} agents, {TICKETS} tickets, {kills} kills, {dict(answers)}")
    system.wait_ready()
    client.assert_both_services_agree()
    assert_only_what_was_accepted_happened(client, agents)
    assert_every_transition_was_legal(client)


def assert_only_what_was_accepted_happened(client: TicketClient, agents: list[Agent]) -> None:
    """Each 200 is one entry of the history, and no refusal left any."""
    accepted = Counter(entry for agent in agents for entry in agent.accepted)
    assert set(accepted.values()) <= {1}
    ours = {ticket for agent in agents for ticket in agent.tickets}
    moved = {(t, v) for t, v, *_ in client.histories() if v > 1 and t in ours}
    assert moved == set(accepted)


def assert_every_transition_was_legal(client: TicketClient) -> None:
    previous: dict[str, str] = {}
    for ticket, _, status, *_ in client.histories():
        before = previous.get(ticket)
        assert (status == "open") if before is None else (status in ALLOWED[before])
        previous[ticket] = status
