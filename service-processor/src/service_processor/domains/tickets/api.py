"""What the processor knows about tickets, over HTTP."""

from __future__ import annotations

from collections.abc import Mapping

from service_processor.dependencies import Work
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
    summary="Everything that has happened to a ticket",
    responses=problem_responses(NOT_FOUND),
)
async def get_timeline(ticket_id: UuidId, work: Work) -> Timeline:
    """As far as its events have arrived, in the order of the ticket's versions."""
    async with work.read() as connection:
        entries = await repository.timeline_of(connection, ticket_id)
    if not entries:
        raise TicketNotKnown(ticket_id)
    return Timeline(items=[TimelineItem.model_validate(entry) for entry in entries])


@router.get(
    "/{ticket_id}/notifications",
    summary="What whoever opened a ticket was told",
    responses=problem_responses(NOT_FOUND),
)
async def get_notifications(ticket_id: UuidId, work: Work) -> Notifications:
    """One for each transition."""
    async with work.read() as connection:
        told = await repository.notifications_of(connection, ticket_id)
        if not told and not await repository.timeline_of(connection, ticket_id):
            raise TicketNotKnown(ticket_id)
    return Notifications(items=[NotificationView.model_validate(one) for one in told])
