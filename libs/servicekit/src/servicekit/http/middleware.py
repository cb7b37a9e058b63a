"""The two layers around every endpoint: each request gets one answer, and no body is too large.

Both are plain ASGI: no task, no queue and no copy of the body for a request.
"""

import asyncio
from urllib.parse import unquote_to_bytes

import structlog
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from servicekit.http import problems
from servicekit.http.exception_handlers import validation_failed
from servicekit.http.large_body_queue import LARGE
from servicekit.http.problems import BodyTooLarge, Overloaded, Problem

__all__ = ["BodyLimit", "RequestBoundary"]

MAX_BODY = 1024 * 1024
MAX_HELD = 32 * MAX_BODY

# What routing finds out and the layers outside of it read.
_FOUND = ("route", "endpoint", "path_params")

logger = structlog.get_logger(__name__)


class RequestBoundary:
    """Answers what the endpoints cannot: unreadable addresses, crashes, the end of the process.

    A path works with and without its trailing slash. HEAD is answered wherever GET is. An error
    that no handler knows is logged once, with its traceback, and answered as a bare 500. A request
    that outlives the server's grace is answered 503 `shutting_down`. A caller who hung up, or was
    refused for slowness, in the middle of the body gets no answer; that is not a crash.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._answer(scope, receive, watched)
        except asyncio.CancelledError:
            # The server cancels what outlives its grace. Whether it took effect is not known.
            if started:
                raise
            await problems.response(problems.shutting_down(), scope)(scope, receive, send)
        except ClientDisconnect:
            return  # nothing is listening for an answer
        except Exception:
            logger.exception("request_crashed", method=scope["method"], path=scope["path"])
            if started:
                raise
            await problems.response(problems.internal_error(), scope)(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        refused = _unreadable(scope)
        if refused is not None:
            await problems.response(refused, scope)(scope, receive, send)
            return
        path: str = scope["path"]
        if len(path) > 1 and path.endswith("/") and _sent_with_slash(scope):
            scope["path"] = path[:-1]
        if scope["method"] == "HEAD":
            scope, send = _as_get(scope, send)
        await self.app(scope, receive, send)


def _unreadable(scope: Scope) -> Problem | None:
    """The refusal of a path or query that has NUL bytes or is not UTF-8, if it is one."""
    path = scope.get("raw_path") or scope["path"].encode()
    for field, text in (("path", path), ("query", scope["query_string"])):
        if message := _refusal_of_octets(text):
            return validation_failed([{"field": field, "message": message}])
    return None


def _refusal_of_octets(text: bytes) -> str | None:
    """Why this part of an address cannot be read, once it is percent-decoded."""
    octets = unquote_to_bytes(text)
    if b"\x00" in octets:
        return "NUL bytes are not allowed."
    try:
        octets.decode("utf-8")
    except UnicodeDecodeError:
        return "This is not UTF-8."
    return None


def _sent_with_slash(scope: Scope) -> bool:
    """Whether the last slash is the path's own, and not the end of an id (`%2F`)."""
    raw: bytes | None = scope.get("raw_path")  # see decision 0850
    return raw is None or raw.partition(b"?")[0].endswith(b"/")


def _as_get(scope: Scope, send: Send) -> tuple[Scope, Send]:
    """HEAD is GET without the body (RFC 9110, section 9.3.2): ask that, pass on the head."""
    asked: Scope = {**scope, "method": "GET"}

    async def headless(message: Message) -> None:
        if message["type"] == "http.response.start":
            scope.update((name, asked[name]) for name in _FOUND if name in asked)
        elif message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await send(message)

    return asked, headless


class BodyLimit:
    """413 for a body over `limit` bytes: at once when it is announced, else when it is exceeded.

    503 for a large one while the bodies of all unfinished requests have over `held` bytes.
    """

    # The framework's own limit knows one request only, and answers in plain text.
    # see decision 1411

    def __init__(self, app: ASGIApp, limit: int = MAX_BODY, held: int = MAX_HELD) -> None:
        self.app = app
        self.limit = limit
        self.held = held
        self._holds = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        announced = next((v for name, v in scope["headers"] if name == b"content-length"), b"0")
        # The server has checked that a content-length is a number (RFC 9112, section 6.3).
        if len(announced) > 15 or (announced.isdigit() and int(announced) > self.limit):
            await problems.response(BodyTooLarge(self.limit), scope)(scope, receive, send)
            return
        read = 0

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            size = len(message.get("body", b""))
            read += size
            self._holds += size
            if read > self.limit:
                raise BodyTooLarge(self.limit)
            if read > LARGE and self._holds > self.held:
                raise Overloaded
            return message

        try:
            await self.app(scope, counted, send)
        finally:
            self._holds -= read
