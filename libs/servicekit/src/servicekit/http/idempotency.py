"""`Idempotency-Key`: a POST or PATCH takes effect once, however often it is sent.

    @router.post("/tickets", status_code=201, response_model=TicketView)
    async def open_ticket(body: OpenTicket, deps: Deps, once: Once) -> Response:
        async with once.begin(deps.work) as unit:
            ticket = await service.open_ticket(unit, body)
            location = {"Location": f"{API_BASE}/tickets/{ticket.id}"}
            return once.answer(TicketView.of(ticket), location)

Invariant: the key's row commits with what the request did or not at all. A refusal is raised, rolls
back and leaves no key, so a retry runs again. Without the header nothing is asked or stored.
"""

import hashlib
import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Header
from pydantic import BaseModel
from sqlalchemy.exc import DBAPIError
from starlette.requests import Request
from starlette.responses import Response

from outbox import UnitOfWork, Work
from outbox.losses import sqlstate_of
from servicekit.database.dataloader import DataLoader
from servicekit.http import idempotency_keys
from servicekit.http.exception_handlers import validation_failed
from servicekit.http.idempotency_keys import Found, StoredAnswer
from servicekit.http.problems import Problem
from servicekit.http.routing import JsonRequest

__all__ = ["Keys", "Once", "OncePerKey", "Replayed", "replay"]

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
_MIME = "application/json"


class Replayed(Exception):
    """The request has been answered before. The application answers it again, see `replay`."""

    def __init__(self, answer: StoredAnswer) -> None:
        super().__init__(answer.status)
        self.answer = answer


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


class Keys:
    """The keys of one application, whose requests work on one database.

    Answers are looked up for many requests with one statement. A key that runs in this process is
    known without asking, so its repetitions disturb no transaction.
    """

    def __init__(self, lifetime: timedelta) -> None:
        self.lifetime = lifetime
        self._running: set[UUID] = set()
        self._loader: DataLoader[UUID, Found] | None = None

    async def find(self, work: Work, digest: UUID) -> Found | None:
        """The stored answer as it is now."""

        async def read(digests: Sequence[UUID]) -> dict[UUID, Found]:
            async with work.read() as connection:
                return await idempotency_keys.find(connection, digests)

        self._loader = self._loader or DataLoader(read)
        return await self._loader.get(digest)

    @contextmanager
    def running(self, digest: UUID) -> Iterator[None]:
        """Raises `KeyInFlight` if it is running already."""
        if digest in self._running:
            raise KeyInFlight
        self._running.add(digest)
        try:
            yield
        finally:
            self._running.remove(digest)


class OncePerKey:
    """One request and its key, if it has one."""

    def __init__(self, key: _Key | None, status: int, keys: Keys) -> None:
        self._key = key
        self._status = status
        self._keys = keys
        self._answer: StoredAnswer | None = None

    @property
    def has_key(self) -> bool:
        return self._key is not None

    @asynccontextmanager
    async def begin(self, work: Work) -> AsyncIterator[UnitOfWork]:
        """A unit of work that takes effect once. A request with a key answers inside the block.

        Raises Replayed for a key that has its answer, Problem 409 while the first request with the
        key runs, 422 when the key was used for another one. What the block raises is raised, with
        nothing kept.
        """
        if self._key is None:
            async with work.begin() as unit:
                yield unit
            return
        await self._replay(work, self._key)
        with self._keys.running(self._key.digest):
            try:
                async with work.begin() as unit:
                    await idempotency_keys.claim(unit, self._key.digest)
                    yield unit
                    await self._keep(unit, self._key)
            except DBAPIError as problem:
                if sqlstate_of(problem) != idempotency_keys.TAKEN:
                    raise
                await self._replay(work, self._key)
                raise KeyInFlight from None

    def answer(self, view: BaseModel | None, headers: Mapping[str, str] | None = None) -> Response:
        """The answer of a request that succeeds, with the status of the route."""
        # Rendered before the commit: an answer that cannot be rendered must not be stored.
        body, sent = b"", dict(headers or {})
        if view is not None:
            body, sent["Content-Type"] = view.__pydantic_serializer__.to_json(view), _MIME
        self._answer = StoredAnswer(self._status, sent, body)
        return Response(body, self._status, sent)

    async def _replay(self, work: Work, key: _Key) -> None:
        """Raise what the stored answer leads to; return if there is none."""
        if found := await self._keys.find(work, key.digest):
            if found.fingerprint != key.fingerprint:
                raise KeyReused
            raise Replayed(found.answer)

    async def _keep(self, unit: UnitOfWork, key: _Key) -> None:
        if self._answer is None:
            raise RuntimeError("the block has ended without once.answer(…)")
        await idempotency_keys.keep(
            unit, key.digest, key.fingerprint, self._answer, self._keys.lifetime
        )


async def replay(_request: Request, replayed: Exception) -> Response:
    """The stored answer, byte for byte."""
    assert isinstance(replayed, Replayed)
    answer = replayed.answer
    return Response(answer.body, answer.status, {**answer.headers, REPLAYED: "true"})


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
    return OncePerKey(identified, status, request.app.state.keys)


Once = Annotated[OncePerKey, Depends(_once)]
"""The parameter of a POST or PATCH that takes effect once per key."""


async def _identified(request: Request, key: str) -> _Key:
    if len(request.headers.getlist(HEADER)) > 1:
        raise validation_failed([{"field": HEADER, "message": "is given more than once"}])
    # Neither a key nor a path has a NUL (see `http.addresses`), so the parts stay apart.
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
