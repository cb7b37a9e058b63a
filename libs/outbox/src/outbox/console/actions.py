"""What a person does, in two steps: a preview that says what would happen, and the doing.

Invariant: what is done is what was shown. What a preview shows is read at one moment. Its form
carries, signed, the action and what it would have moved; if that is another when the change begins,
nothing is done, and the page says what changed.
GET shows the preview; POST with `seen` does it; POST without it shows the preview of a form that is
too long for an address.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from hashlib import sha256
from typing import Annotated, Any, Protocol

from fastapi import APIRouter, Depends, Form, HTTPException
from starlette.responses import RedirectResponse, Response

from outbox.console import figures
from outbox.console.unusable import reason_of
from outbox.console.view import CurrentView, View
from outbox.errors import ChangedSince, OutboxError
from outbox.inbox.parked_rows import Preview
from outbox.operations.operator import Operator
from outbox.plural import counted

_ONE_PICTURE = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"
PATIENCE = 5.0
"""So many seconds the answer waits for what is done; what takes longer goes on without it."""

Note = Annotated[str, Form(max_length=1_000)]
Seen = Annotated[str, Form()]


@dataclass(frozen=True, slots=True)
class Proposal:
    """What would happen, in words; `seen` is what would be moved, if that can be counted.

    `fields` go along with the form. Without a `button` there is nothing to do.
    """

    title: str
    says: tuple[str, ...]
    button: str
    seen: Preview | None = None
    is_final: bool = False
    """Whether it cannot be undone."""
    fields: tuple[tuple[str, str], ...] = ()


class Action(Protocol):
    """Something that a person can do: a frozen dataclass of what the request names."""

    async def propose(self, operator: Operator) -> Proposal:
        """What would happen now. Changes nothing."""
        ...

    async def run(self, operator: Operator, seen: Preview | None, note: str) -> str:
        """Do it; returns what was done, as a sentence. Raises `ChangedSince`."""
        ...

    def back(self, view: View, service: str) -> str:
        """The address of the page to show then."""
        ...


def register_action(
    router: APIRouter, path: str, name: str, of: Callable[..., Any], *, has_form: bool = False
) -> None:
    """Register both steps of an action; `of` makes it from the request's values.

    With `has_form` a page of its own has the form that POSTs for the preview.
    """

    async def ask(view: CurrentView, service: str, action: Any = Depends(of)) -> Response:
        return await _ask(view, service, action)

    async def act(
        view: CurrentView,
        service: str,
        seen: Seen = "",
        note: Note = "",
        action: Any = Depends(of),
    ) -> Response:
        if not seen:
            return await _ask(view, service, action)
        return await _act(view, service, action, _opened(view, seen, action), note)

    if not has_form:
        router.add_api_route(path, ask, methods=["GET"], name=name)
    router.add_api_route(path, act, methods=["POST"], name=f"do_{name}")


async def _ask(
    view: View, service: str, action: Action, *, status: int = 200, **more: Any
) -> Response:
    try:
        async with view.operator(service) as operator, one_picture(operator):
            proposal = await action.propose(operator)
    except HTTPException:
        raise
    except Exception as problem:  # there is nothing to do it to, or what it needs is away
        proposal = Proposal("This cannot be done now", (reason_of(problem),), "")
    return _page(view, service, action, proposal, status=status, **more)


@asynccontextmanager
async def one_picture(operator: Operator) -> AsyncIterator[None]:
    """All that is read in the block is of one moment, and nothing is written."""
    async with operator.connection.transaction():
        await operator.connection.execute(_ONE_PICTURE)
        yield


async def _act(
    view: View, service: str, action: Action, seen: Preview | None, note: str
) -> Response:
    task = view.keep_running(_run(view, service, action, seen, note))
    done, _ = await asyncio.wait({task}, timeout=PATIENCE)
    try:
        view.flash(
            task.result() if done else "It is under way. Operations shows when it has ended."
        )
    except ChangedSince as changed:
        return await _ask(view, service, action, status=409, changes=_changes(changed))
    except Exception as problem:
        status = 409 if isinstance(problem, OutboxError) else 503
        return await _ask(view, service, action, status=status, problem=reason_of(problem))
    return RedirectResponse(action.back(view, service), 303)


async def _run(view: View, service: str, action: Action, seen: Preview | None, note: str) -> str:
    async with view.operator(service) as operator:
        return await action.run(operator, seen, note)


def _page(
    view: View, service: str, action: Action, proposal: Proposal, status: int = 200, **more: Any
) -> Response:
    seen = view.sign({"action": _digest(action), "seen": _packed(proposal.seen)})
    return view.render(
        "preview.html",
        status=status,
        service=service,
        proposal=proposal,
        seen=seen,
        back=action.back(view, service),
        **more,
    )


def _opened(view: View, text: str, action: Action) -> Preview | None:
    """What was seen. A text of another action is no proof that this one was shown."""
    opened = view.unsign(text)
    if opened["action"] != _digest(action):
        raise HTTPException(400, "This form belongs to another action. Open it again.")
    seen = opened["seen"]
    return Preview(**{**seen, "at": datetime.fromisoformat(seen["at"])}) if seen else None


def _packed(seen: Preview | None) -> dict[str, Any] | None:
    return {**asdict(seen), "at": seen.at.isoformat()} if seen else None


def _digest(action: Action) -> str:
    return sha256(repr(action).encode("utf-8", "backslashreplace")).hexdigest()


def _changes(changed: ChangedSince) -> list[tuple[str, str, str]]:
    """What it was and what it is, line by line."""
    before, now = changed.seen, changed.now
    if not (isinstance(before, Preview) and isinstance(now, Preview)):
        return [("it", str(before), str(now))]
    rows = [
        ("events", figures.number(before.events), figures.number(now.events)),
        ("streams", figures.number(before.streams), figures.number(now.streams)),
        ("wait behind", figures.number(before.followers), figures.number(now.followers)),
        ("which ones", before.digest[:60] or "–", now.digest[:60] or "–"),
    ]
    return [row for row in rows if row[1] != row[2]]


def waits_behind(seen: Preview) -> str:
    """Who else waits, as a sentence."""
    return f"{counted(seen.followers, 'event waits', 'events wait')} behind in the same streams."
