"""`Idempotency-Key`: a POST or PATCH takes effect once, however often it is sent.

    @router.post("/tickets", status_code=201, response_model=TicketView)
    async def open_ticket(body: OpenTicket, work: Work, once: Once) -> Response:
        async def act(unit: UnitOfWork) -> Answer:
            ticket = await service.open_ticket(unit, body)
            return Answer(TicketView.of(ticket), {"Location": f"{API_BASE}/tickets/{ticket.id}"})

        return await once.run(work.begin, act)

Invariant: the key's row commits with what the request did or not at all. A refusal is raised, rolls
back and leaves no key, so a retry runs again. Without the header nothing is asked or stored.
"""

import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Annotated, Protocol, TypeVar
from uuid import UUID

from fastapi import Depends, Header
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.requests import Request
from starlette.responses import Response

from servicekit.http import idempotency_keys
from servicekit.http.exception_handlers import validation_failed
from servicekit.http.idempotency_keys import StoredAnswer
from servicekit.http.problems import Problem
from servicekit.http.routing import JsonRequest

__all__ = ["Answer", "Once", "OncePerKey", "Unit"]

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
_MIME = "application/json"


class Unit(Protocol):
    """An open transaction."""

    @property
    def connection(self) -> AsyncConnection: ...


U = TypeVar("U", bound=Unit)
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a request that succeeded: the view and headers; the status is the route's."""

    view: BaseModel | None
    headers: Mapping[str, str] = field(default_factory=dict)


class KeyReused(Problem):
    """The key stands for another request to this method and path."""

    def __init__(self) -> None:
        detail = f"This {HEADER} was used for another request; use a new one for this one."
        errors = [{"field": HEADER, "message": "was used for another request"}]
        super().__init__(422, "idempotency_key_reused", detail, errors=errors)


class KeyInFlight(Problem):
    """The first request with the key has not ended."""

    def __init__(self) -> None:
        detail = f"A request with this {HEADER} is still running; ask again for its answer."
        super().__init__(409, "idempotency_key_in_flight", detail, headers={"Retry-After": "1"})


@dataclass(frozen=True, slots=True)
class _Key:
    digest: UUID
    fingerprint: UUID


class OncePerKey:
    """One request and its key, if it has one."""

    def __init__(self, key: _Key | None, status: int, lifetime: timedelta) -> None:
        self._key = key
        self._status = status
        self._lifetime = lifetime

    async def run(
        self,
        begin: Callable[[], AbstractAsyncContextManager[U]],
        act: Callable[[U | V], Awaitable[Answer]],
        *,
        without_key: Callable[[], AbstractAsyncContextManager[V]] | None = None,
    ) -> Response:
        """Begin a transaction, act, store the answer, commit; or replay the stored answer.

        Raises Problem 409 while the first request with this key runs, 422 when the key was used
        for another one; whatever `act` raises is raised, with nothing kept. A request without a
        key may take the shorter way `without_key`, if `act` can.
        """
        if self._key is None:
            async with (without_key or begin)() as plain:
                return _response(self._rendered(await act(plain)))
        async with begin() as unit:
            if before := await self._stored(self._key, unit.connection):
                return _response(before, replayed=True)
            answer = self._rendered(await act(unit))
            await idempotency_keys.store(
                unit.connection, self._key.digest, self._key.fingerprint, answer, self._lifetime
            )
        return _response(answer)

    async def _stored(self, key: _Key, connection: AsyncConnection) -> StoredAnswer | None:
        claim = await idempotency_keys.claim(connection, key.digest)
        if claim.answer is None and not claim.free:
            raise KeyInFlight
        if claim.answer is not None and claim.fingerprint != key.fingerprint:
            raise KeyReused
        return claim.answer

    def _rendered(self, answer: Answer) -> StoredAnswer:
        # Before the commit: an answer that cannot be rendered must not be stored.
        if answer.view is None:
            return StoredAnswer(self._status, dict(answer.headers), b"")
        headers = {**answer.headers, "Content-Type": _MIME}
        return StoredAnswer(self._status, headers, answer.view.model_dump_json().encode())


def _response(answer: StoredAnswer, *, replayed: bool = False) -> Response:
    headers = {**answer.headers, REPLAYED: "true"} if replayed else answer.headers
    return Response(answer.body, answer.status, headers)


async def _once(
    request: Request,
    key: Annotated[
        str | None,
        Header(
            alias=HEADER,
            min_length=1,
            max_length=255,
            pattern="^[!-~]*$",
            description="The same key and request again get the first answer, and do nothing.",
        ),
    ] = None,
) -> OncePerKey:
    identified = None if key is None else await _identified(request, key)
    status: int = request.scope["route"].status_code or 200
    return OncePerKey(identified, status, request.app.state.key_lifetime)


Once = Annotated[OncePerKey, Depends(_once)]
"""The parameter of a POST or PATCH that takes effect once per key."""


async def _identified(request: Request, key: str) -> _Key:
    if len(request.headers.getlist(HEADER)) > 1:
        raise validation_failed([{"field": HEADER, "message": "is given more than once"}])
    # Neither a key nor a path has a NUL (see RequestBoundary), so the parts stay apart.
    path = request.scope["path"].encode("utf-8", "surrogatepass")
    digest = _hash(request.method.encode(), path, key.encode())
    precondition = request.headers.get("if-match", "").encode("latin-1")
    return _Key(digest, _hash(request.scope["query_string"], precondition, await _body(request)))


async def _body(request: Request) -> bytes:
    """The body's meaning: JSON without its spacing and the order of its members."""
    parsed = request.parsed if isinstance(request, JsonRequest) else None
    if parsed is None:
        return await request.body()
    # Canonical, so that a retry by another JSON library is the same request: see decision 0101.
    text = json.dumps(parsed, sort_keys=True, separators=(",", ":"), default=_as_written)
    return text.encode()


def _as_written(number: object) -> dict[str, str]:
    # 1.50 and "1.50" are different requests; no float is involved.
    return {"": str(number)}


def _hash(*parts: bytes) -> UUID:
    return UUID(bytes=hashlib.blake2b(b"\0".join(parts), digest_size=16).digest())
