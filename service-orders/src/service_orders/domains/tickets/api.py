"""The HTTP API of tickets."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any

from fastapi import Header, Query, Response

from service_orders.dependencies import Deps
from service_orders.domains.tickets import repository, service
from service_orders.domains.tickets.cache import rendered
from service_orders.domains.tickets.errors import (
    CommentNotFound,
    StaleTicket,
    TicketClosed,
    TicketNotFound,
    TooManyComments,
)
from service_orders.domains.tickets.models import ticket_history
from service_orders.domains.tickets.schemas import (
    AddComment,
    CommentView,
    Email,
    MoveTicket,
    OpenTicket,
    TicketSummary,
    TicketView,
)
from service_orders.domains.tickets.states import TicketStatus
from servicekit.http import etags
from servicekit.http.app import API_BASE
from servicekit.http.fields import UuidId
from servicekit.http.idempotency import Once
from servicekit.http.openapi import problem_responses
from servicekit.http.pagination import Page, PageQuery
from servicekit.http.problems import ProblemSpec
from servicekit.http.routing import Router
from servicekit.service.history import HistoryView
from servicekit.service.lifecycle import ILLEGAL_TRANSITION, IllegalTransition

NOT_FOUND = ProblemSpec(404, "ticket_not_found")
COMMENT_NOT_FOUND = ProblemSpec(404, "comment_not_found")
CLOSED = ProblemSpec(409, "ticket_closed")
FULL = ProblemSpec(409, "too_many_comments")
STALE = ProblemSpec(412, "precondition_failed", members=("version",))

PROBLEMS: Mapping[type[Exception], ProblemSpec] = {
    TicketNotFound: NOT_FOUND,
    CommentNotFound: COMMENT_NOT_FOUND,
    IllegalTransition: ILLEGAL_TRANSITION,
    TicketClosed: CLOSED,
    TooManyComments: FULL,
    StaleTicket: STALE,
}

router = Router(prefix="/tickets", tags=["tickets"])

# A browser asks again before it shows its copy, which can only save the body (304).
_PRIVATE = {"Cache-Control": "private, no-cache"}
_ETAG = {"ETag": {"description": "The ticket's version.", "schema": {"type": "string"}}}
_WITH_ETAG: dict[int | str, dict[str, Any]] = {200: {"headers": _ETAG}}
_UNCHANGED: dict[int | str, dict[str, Any]] = {
    304: {"description": "The ticket has the version in `If-None-Match`.", "headers": _ETAG}
}

IfMatch = Annotated[
    str | None,
    Header(
        alias="If-Match",
        description='412 unless the ticket has this version: `"3"`, or `*`.',
    ),
]
IfNoneMatch = Annotated[
    str | None,
    Header(
        alias="If-None-Match",
        description='304 if the ticket still has this version: `"3"`.',
    ),
]


@router.post(
    "",
    status_code=201,
    summary="Open a ticket",
    response_model=TicketView,
)
async def open_ticket(body: OpenTicket, deps: Deps, once: Once) -> Response:
    """Open a ticket. When this answers, the ticket is stored."""
    async with once.begin(deps.work) as unit:
        ticket = await service.open_ticket(unit, body)
        headers = {
            "Location": f"{API_BASE}/tickets/{ticket.id}",
            "ETag": etags.etag(ticket.version),
        }
        return once.answer(TicketView.of(ticket, []), headers)


@router.get("", summary="List tickets, newest first")
async def list_tickets(
    deps: Deps,
    page: PageQuery,
    status: TicketStatus | None = None,
    email: Annotated[Email | None, Query()] = None,
) -> Page[TicketSummary]:
    """List tickets without their comments, optionally filtered by email address and status."""
    async with deps.work.read() as connection:
        return await repository.ROWS.page(
            connection, page, TicketSummary.model_validate, email=email, status=status
        )


@router.get(
    "/{ticket_id}",
    summary="Get a ticket with its comments, oldest first",
    response_model=TicketView,
    responses={**problem_responses(NOT_FOUND), **_WITH_ETAG, **_UNCHANGED},
)
async def get_ticket(ticket_id: UuidId, deps: Deps, if_none_match: IfNoneMatch = None) -> Response:
    """Get a ticket as it was within the last second."""
    found = await deps.tickets.get(ticket_id)
    if found is None:
        raise TicketNotFound(ticket_id)
    headers = {"ETag": etags.etag(found.version), **_PRIVATE}
    if etags.if_none_match(if_none_match, found.version):
        return Response(status_code=304, headers=headers)
    return Response(found.body, headers=headers, media_type="application/json")


@router.patch(
    "/{ticket_id}",
    summary="Move a ticket to another status",
    response_model=TicketView,
    responses={**problem_responses(NOT_FOUND, ILLEGAL_TRANSITION, STALE), **_WITH_ETAG},
)
async def move_ticket(
    ticket_id: UuidId,
    body: MoveTicket,
    *,
    deps: Deps,
    once: Once,
    if_match: IfMatch = None,
) -> Response:
    """Move a ticket to another status. Concurrent moves are applied one after the other."""
    async with once.begin(deps.work) as unit:
        ticket = await service.move(
            unit, ticket_id, body.status, expected=partial(etags.if_match, if_match)
        )
        view = TicketView.of(ticket, await repository.comments_of(unit.connection, ticket_id))
        answer = once.answer(view, {"ETag": etags.etag(ticket.version)})
    written = rendered(view)
    await deps.tickets.wrote(ticket_id, written.version, written.body)
    return answer


@router.post(
    "/{ticket_id}/comments",
    status_code=201,
    summary="Comment on a ticket",
    response_model=CommentView,
    responses=problem_responses(NOT_FOUND, CLOSED, FULL),
)
async def add_comment(ticket_id: UuidId, body: AddComment, deps: Deps, once: Once) -> Response:
    """Add a comment. The ticket gets a new version and keeps its status.

    A ticket has at most 1,000 comments.
    """
    async with once.begin(deps.work) as unit:
        ticket, comment = await service.comment(unit, ticket_id, body)
        answer = once.answer(CommentView.model_validate(comment))
    await deps.tickets.wrote(ticket_id, ticket.version)
    return answer


@router.delete(
    "/{ticket_id}/comments/{comment_id}",
    status_code=204,
    summary="Delete a comment",
    responses=problem_responses(NOT_FOUND, COMMENT_NOT_FOUND),
)
async def delete_comment(ticket_id: UuidId, comment_id: UuidId, deps: Deps) -> Response:
    """Delete a comment, also of a closed ticket. The ticket gets a new version."""
    async with deps.work.begin() as unit:
        ticket = await service.delete_comment(unit, ticket_id, comment_id)
    await deps.tickets.wrote(ticket_id, ticket.version)
    return Response(status_code=204)


@router.get(
    "/{ticket_id}/history",
    summary="Get the history of a ticket",
    responses=problem_responses(NOT_FOUND),
)
async def get_ticket_history(ticket_id: UuidId, deps: Deps) -> HistoryView:
    """Get every status the ticket has had, oldest first, with the event that caused it."""
    async with deps.work.read() as connection:
        entries = await ticket_history.of(connection, ticket_id)
    if not entries:
        raise TicketNotFound(ticket_id)
    return HistoryView.of(entries)
