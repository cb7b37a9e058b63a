"""What each endpoint is given: an operator for its caller, for reading or for changing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import Depends, HTTPException, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from outbox.addresses import Broker, Database
from outbox.operations import Actor, Operator, open_operator
from outbox.operations.slots import one_of
from outbox.operations_api.tokens import Caller, Tokens
from outbox.worker import Application

logger = logging.getLogger(__name__)

WAITING = 10.0
"""Seconds that a request waits until others of its kind have ended."""


@dataclass(frozen=True)
class Kind:
    """What a request is for. Each kind has connections of its own, so it waits for its like alone.

    So many have one at once, and a statement may take so many seconds; 0 is no limit.
    """

    name: str
    at_once: int
    statement_timeout: float


READING = Kind("reading", 4, 60.0)
CHANGING = Kind("changing", 2, 0.0)
REPLAYING = Kind("replaying", 2, 0.0)
"""A replay may take hours. There is one at a time: another one is told who is at it."""
ORDERING = Kind("ordering", 2, 10.0)
"""A pause, a throttle, or the end of one: an order never waits for what takes long."""


def _slots() -> dict[Kind, asyncio.Semaphore]:
    kinds = (READING, CHANGING, REPLAYING, ORDERING)
    return {kind: asyncio.Semaphore(kind.at_once) for kind in kinds}


@dataclass(frozen=True)
class OperatedService:
    """The service whose operations these are."""

    name: str
    database_url: Database = field(repr=False)
    broker_url: Broker | None = field(default=None, repr=False)
    management_url: str | None = field(default=None, repr=False)
    application: Application | None = None


@dataclass(frozen=True)
class Access:
    """What all requests of one application share."""

    service: OperatedService
    tokens: Tokens
    slots: Mapping[Kind, asyncio.Semaphore] = field(default_factory=_slots)


Given = Annotated[
    HTTPAuthorizationCredentials | None,
    Depends(HTTPBearer(auto_error=False, description="A token, as OPERATIONS_TOKENS knows it")),
]
"""The `Authorization` header (RFC 6750, section 2.1)."""


async def caller(request: Request, given: Given) -> Caller:
    """Whose request it is; 401 without a token that is known."""
    access: Access = request.app.state.access
    found = access.tokens.caller_of(given.credentials) if given else None
    if found is None:
        detail = "Send a token: Authorization: Bearer …"
        if not access.tokens.callers:
            detail = "No tokens are set, so nobody may call. OPERATIONS_TOKENS sets them."
        raise HTTPException(401, detail)
    return found


async def changing_caller(request: Request, known: Annotated[Caller, Depends(caller)]) -> Caller:
    """The same for what changes something; 403 for a viewer."""
    if not known.role.may_change:
        path = request.url.path
        logger.warning("%s (%s) may not %s %s", known.name, known.role, request.method, path)
        raise HTTPException(403, f"{known.name} is a {known.role}, who changes nothing.")
    return known


def _too_many() -> HTTPException:
    detail = "Too many operations are under way. Try again."
    return HTTPException(503, detail, {"Retry-After": f"{WAITING:.0f}"})


@asynccontextmanager
async def _operator(request: Request, known: Caller, kind: Kind) -> AsyncIterator[Operator]:
    access: Access = request.app.state.access
    service = access.service
    address = request.client.host if request.client else None
    async with (
        one_of(access.slots[kind], within=WAITING, otherwise=_too_many()),
        open_operator(
            service.database_url,
            by=Actor(known.name, via="http", address=address),
            broker_url=service.broker_url,
            management_url=service.management_url,
            application=service.application,
            statement_timeout=kind.statement_timeout,
        ) as operator,
    ):
        yield operator


def _dependency(
    kind: Kind, known_by: Callable[..., Awaitable[Caller]]
) -> Callable[..., AsyncIterator[Operator]]:
    async def operator(request: Request, known: Any = Depends(known_by)) -> AsyncIterator[Operator]:
        async with _operator(request, known, kind) as found:
            yield found

    return operator


ReadingOperator = Annotated[Operator, Depends(_dependency(READING, caller))]
ChangingOperator = Annotated[Operator, Depends(_dependency(CHANGING, changing_caller))]
ReplayingOperator = Annotated[Operator, Depends(_dependency(REPLAYING, changing_caller))]
OrderingOperator = Annotated[Operator, Depends(_dependency(ORDERING, changing_caller))]
"""Only who may change something has one of the last three."""
