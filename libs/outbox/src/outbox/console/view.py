"""What a page gets of a request: who asks, the services, and how to answer."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, HTTPException, Request
from itsdangerous import BadData, URLSafeTimedSerializer
from starlette.responses import HTMLResponse, RedirectResponse

from outbox.console import rendering
from outbox.console.access.guard import Visitor
from outbox.console.access.sessions import Flash, Session
from outbox.console.access.users import User
from outbox.console.background import Background
from outbox.console.samples import Samples
from outbox.console.services import ConsoleService
from outbox.operations.operator import Actor, Operator

SIGNED_FOR = 3600
"""Seconds until what a form carries is too old to be believed."""


@dataclass(frozen=True, slots=True)
class View:
    """One request of somebody who is logged in."""

    request: Request
    session: Session
    services: Mapping[str, ConsoleService]

    @property
    def user(self) -> User:
        return self.session.user

    @property
    def may_change(self) -> bool:
        """Whether this user is an operator."""
        return self.user.role.may_change

    @property
    def address(self) -> str:
        """Where the request comes from."""
        return Visitor.of(self.request).address

    def service(self, name: str) -> ConsoleService:
        """Raises 404 for a name that is not known."""
        if name not in self.services:
            raise HTTPException(404, f"There is no service {name} here.")
        return self.services[name]

    def operator(self, service: str) -> AbstractAsyncContextManager[Operator]:
        """What this user can ask of a service and change in it. Raises 404."""
        actor = Actor(self.user.name, "console", self.address)
        return self.service(service).operator(actor, to_change=self.request.method == "POST")

    @property
    def samples(self) -> Samples:
        """The figures of the last hour."""
        samples: Samples = self.request.app.state.samples
        return samples

    def watch(self) -> None:
        """Measure often for a while. Where the console is mounted, measuring begins with this."""
        self.samples.watch()
        if not self.samples.is_running:
            self._background.run(self.samples.run())

    def keep_running(self, work: Coroutine[Any, Any, str]) -> asyncio.Task[str]:
        """Run what may outlast the request."""
        return self._background.run(work)

    @property
    def _background(self) -> Background:
        background: Background = self.request.app.state.background
        return background

    def render(self, template: str, *, status: int = 200, **context: object) -> HTMLResponse:
        """The page of a template, which knows this view as `view`."""
        return rendering.render(self.request, template, status=status, view=self, **context)

    def path_for(
        self, name: str, query: Mapping[str, object] | None = None, **parameters: object
    ) -> str:
        """The path of a route, which may be told a query."""
        return rendering.path_for(self.request, name, query, **parameters)

    def redirect(
        self, name: str, query: Mapping[str, object] | None = None, **parameters: object
    ) -> RedirectResponse:
        """To a page, by GET: the answer to a form that did something."""
        return rendering.redirect(self.request, name, query, **parameters)

    def flash(self, text: str, kind: str = "done") -> None:
        """Show a message on top of the next page, once; `kind` is `done` or `failed`."""
        self.session.flashes.append(Flash(text, kind))

    def sign(self, value: object) -> str:
        """A JSON value as a text that only this session can give back, unchanged."""
        return str(self._serializer.dumps(value))

    def unsign(self, text: str) -> Any:
        """The value that `sign` was given. Raises 400 for a text of any other origin."""
        try:
            return self._serializer.loads(text, max_age=SIGNED_FOR)
        except BadData:
            detail = "This form was made by another login, or too long ago. Open it again."
            raise HTTPException(400, detail) from None

    @property
    def _serializer(self) -> URLSafeTimedSerializer:
        return URLSafeTimedSerializer(self.session.key, salt="outbox.console")


def view_of(request: Request) -> View:
    """What a page gets of this request."""
    session = Visitor.of(request).session
    if session is None:  # an open path by mistake
        raise HTTPException(403, "This page needs a login.")
    return View(request, session, request.app.state.services)


CurrentView = Annotated[View, Depends(view_of)]
