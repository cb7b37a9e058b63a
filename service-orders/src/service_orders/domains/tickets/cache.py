"""Reads tickets for the cache of answers, for many callers at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

from outbox import Work
from service_orders.domains.tickets import repository
from service_orders.domains.tickets.schemas import TicketView
from servicekit.cache.read_through import Versioned


class StoredTickets:
    """The store behind the cache: answers with tickets, by id."""

    def __init__(self, work: Work) -> None:
        self._work = work

    async def load(self, keys: Sequence[UUID]) -> Mapping[UUID, Versioned]:
        """The answers about those of these tickets that exist."""
        found = await repository.find_all(self._work, keys)
        return {ticket.id: rendered(TicketView.of(ticket, comments)) for ticket, comments in found}

    async def versions(self, keys: Sequence[UUID]) -> Mapping[UUID, int]:
        return await repository.versions(self._work, keys)


def rendered(view: TicketView) -> Versioned:
    """The body of an answer, with its version."""
    return Versioned(view.version, view.model_dump_json().encode())
