"""The one layer around every endpoint: each request gets one answer, whatever happens.

The rules are functions in modules of their own. They are applied in this order: trace
(`observe.requests`), host and origin (`access_rules`), address (`addresses`), size of the body
(`body_limit`), endpoint, errors (`exception_handlers`). The answer passes one `send`, which adds
the security headers and records it. See decision 1713.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from servicekit.http import addresses, problems
from servicekit.http.access_rules import AccessRules
from servicekit.http.body_limit import BodyLimit
from servicekit.http.exception_handlers import Handler
from servicekit.http.problems import Problem
from servicekit.http.security_headers import add_security_headers
from servicekit.observe.requests import Observed, RequestObserver

__all__ = ["Edge"]

EXCHANGE = "servicekit.exchange"

logger = structlog.get_logger(__name__)


class Exchange:
    """One request and its answer."""

    __slots__ = ("_bodies", "_observed", "_receive", "_send", "is_head", "read", "started")

    def __init__(
        self, receive: Receive, send: Send, observed: Observed, bodies: BodyLimit, *, is_head: bool
    ) -> None:
        self._receive, self._send = receive, send
        self._observed, self._bodies = observed, bodies
        self.is_head = is_head
        self.read = 0
        """Bytes of the body so far."""
        self.started = False
        """Whether the answer has begun, so that no other one can be given."""

    async def receive(self) -> Message:
        """The next part of the body. Raises a Problem when the body is too large."""
        message = await self._receive()
        if size := len(message.get("body", b"")):
            self.read += size
            self._bodies.count(size, self.read)
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            self._observed.answered(message["status"])
            add_security_headers(message)
        elif self.is_head and message["type"] == "http.response.body":
            # HEAD is GET without the body (RFC 9110, section 9.3.2).
            message = {**message, "body": b""}
        await self._send(message)


class Edge:
    """Answers what endpoints cannot: refusals, crashes, the end of the process.

    A path works with and without its trailing slash. HEAD is answered wherever GET is. An error
    that no handler knows is logged once, with its traceback, and answered as a bare 500. A request
    that outlives the server's grace is answered 503 `shutting_down`. A caller who hung up, or was
    refused for slowness, in the middle of the body gets no answer; that is not a crash.
    """

    def __init__(
        self,
        app: ASGIApp,
        observer: RequestObserver,
        *,
        access: AccessRules | None = None,
        bodies: BodyLimit | None = None,
        handlers: Mapping[Any, Handler] | None = None,
        layers: Sequence[Middleware] = (),
    ) -> None:
        """`layers` are the framework's own, between the access rules and all other rules."""
        self._app = app
        self._observer = observer
        self._access = access or AccessRules()
        self._bodies = bodies or BodyLimit()
        self._handlers = handlers or {}
        self._inside: ASGIApp = self._answer
        for layer, arguments, named in reversed(layers):
            self._inside = layer(self._inside, *arguments, **named)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers: dict[bytes, bytes] = dict(scope["headers"])
        method, path = scope["method"], scope["path"]
        is_head = method == "HEAD"
        # The server needs the method in its own scope; what is asked inside is GET.
        asked: Scope = {**scope, "method": "GET"} if is_head else scope
        observed = self._observer.begin(asked, method, path, headers.get(b"traceparent"))
        exchange = Exchange(receive, send, observed, self._bodies, is_head=is_head)
        if refused := self._access.refusal(method, path, headers):
            await problems.response(refused, scope)(scope, receive, exchange.send)
            return
        asked[EXCHANGE] = exchange
        await self._inside(asked, exchange.receive, exchange.send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange: Exchange = scope[EXCHANGE]
        try:
            await self._ask(scope, receive, send)
        except asyncio.CancelledError:
            # The server cancels what outlives its grace. Whether it took effect is not known.
            if exchange.started:
                raise
            await problems.response(problems.shutting_down(), scope)(scope, receive, send)
        except ClientDisconnect:
            return  # nothing is listening for an answer
        except Exception:
            logger.exception("request_crashed", method=scope["method"], path=scope["path"])
            if exchange.started:
                raise
            await problems.response(problems.internal_error(), scope)(scope, receive, send)
        finally:
            self._bodies.forget(exchange.read)

    async def _ask(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            addresses.refuse_unreadable(scope)
            self._bodies.refuse_announced(scope["headers"])
            addresses.drop_last_slash(scope)
            await self._app(scope, receive, send)
        except Exception as error:
            handler = self._handler_of(error)
            if handler is None or scope[EXCHANGE].started:
                raise
            response = await handler(Request(scope, receive, send), error)
            await response(scope, receive, send)

    def _handler_of(self, error: Exception) -> Handler | None:
        if isinstance(error, Problem):
            return problems.answer
        return next((self._handlers[c] for c in type(error).__mro__ if c in self._handlers), None)
