"""The HTTP API of what this service knows about tickets."""

from __future__ import annotations

from collections.abc import Mapping

from service_processor.dependencies import Deps
from service_processor.domains.tickets import repository
from service_processor.domains.tickets.errors import TicketNotKnown
from service_processor.domains.tickets.schemas import (
    Notifications,
    NotificationView,
    Timeline,
    TimelineItem,
)
from servicekit.http.fields import UuidId
from servicekit.http.openapi import problem_responses
from servicekit.http.problems import ProblemSpec
from servicekit.http.routing import Router

NOT_FOUND = ProblemSpec(404, "ticket_not_found")

PROBLEMS: Mapping[type[Exception], ProblemSpec] = {TicketNotKnown: NOT_FOUND}

router = Router(prefix="/tickets", tags=["tickets"])


@router.get(
    "/{ticket_id}/timeline",
    summary="Get the timeline of a ticket",
    responses=problem_responses(NOT_FOUND),
)
async def get_ticket_timeline(ticket_id: UuidId, deps: Deps) -> Timeline:
    """Get everything that happened to a ticket, as far as its events have arrived.

    The order is that of the ticket's versions.
    """
    async with deps.work.read() as connection:
        entries = await repository.timeline_of(connection, ticket_id)
    if not entries:
        raise TicketNotKnown(ticket_id)
    return Timeline(items=[TimelineItem.model_validate(entry) for entry in entries])


@router.get(
    "/{ticket_id}/notifications",
    summary="Get the notifications about a ticket",
    responses=problem_responses(NOT_FOUND),
)
async def get_ticket_notifications(ticket_id: UuidId, deps: Deps) -> Notifications:
    """Get what the person who opened the ticket was told: one notification per transition."""
    async with deps.work.read() as connection:
        notifications = await repository.notifications_of(connection, ticket_id)
        if not notifications and not await repository.timeline_of(connection, ticket_id):
            raise TicketNotKnown(ticket_id)
    return Notifications(items=[NotificationView.model_validate(one) for one in notifications])
