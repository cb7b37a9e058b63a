"""What holds for every answer: headers that browsers obey, a bound on bodies, a page for a crash.

Everything that a page loads comes from the console itself, and no script or style stands in a page
(Content Security Policy Level 3): a text that gets into a page unescaped would still not run.
"""

from __future__ import annotations

import logging

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from outbox.console.access.guard import path_of
from outbox.console.rendering import error_page

LARGEST_LOGIN = 16 * 1024
"""Bytes of what somebody may send without a session."""
LARGEST_FORM = 8 * 1024 * 1024
"""Bytes: room for the edited body of an event, percent-encoded."""
FILE_KEPT = "public, max-age=86400"
"""A file that changes has another address: see `rendering`."""
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
        "object-src 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

logger = logging.getLogger(__name__)


class BodyTooLarge(Exception):
    """A form has more bytes than allowed."""


class Edge:
    """The outermost layer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        is_file = path_of(request).startswith("/static/")
        largest = LARGEST_LOGIN if path_of(request) == "/login" else LARGEST_FORM
        exchange = _Exchange(receive, send, FILE_KEPT if is_file else "no-store", largest)
        try:
            _refuse_announced(request, largest)
            await self._app(scope, exchange.receive, exchange.send)
        except BodyTooLarge:
            page = error_page(request, 413, "This form is too large.")
            await page(scope, receive, exchange.send)
        except Exception:
            logger.exception("a page crashed: %s %r", scope["method"], scope["path"])
            if exchange.has_begun:
                raise
            page = error_page(request, 500, "The console has a bug here; its log says more.")
            await page(scope, receive, exchange.send)


class _Exchange:
    """One request and its answer."""

    def __init__(self, receive: Receive, send: Send, cached: str, largest: int) -> None:
        self._receive, self._send, self._cached = receive, send, cached
        self._largest = largest
        self._read = 0
        self.has_begun = False

    async def receive(self) -> Message:
        message = await self._receive()
        self._read += len(message.get("body", b""))
        if self._read > self._largest:
            raise BodyTooLarge
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.has_begun = True
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers[name] = value
            headers.setdefault("Cache-Control", self._cached)
        await self._send(message)


def _refuse_announced(request: Request, largest: int) -> None:
    length = request.headers.get("content-length", "0")
    if length.isdecimal() and int(length) > largest:
        raise BodyTooLarge
