"""Routes that read JSON strictly, and the checks every request passes before it reaches one.

All are plain ASGI or route level: no task, no queue and no copy of the body per request.
"""

import re
from collections.abc import Callable, Coroutine
from typing import Any, ClassVar
from urllib.parse import unquote_to_bytes

from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from servicekit.http import problems, strict_json
from servicekit.http.exception_handlers import field_of, validation_failed
from servicekit.http.large_body_queue import LARGE, LargeBodyQueue
from servicekit.http.problems import BodyTooLarge, Overloaded, Problem
from servicekit.http.query_parameters import known_names, refuse_others

__all__ = ["BodyLimit", "JsonRequest", "JsonRoute", "ProbeRoute", "RequestGuard", "Router"]

MAX_BODY = 1024 * 1024
MAX_HELD = 32 * MAX_BODY

_JSON_TYPE = re.compile(r"application/(json|[\w.+-]+\+json)\s*(;.*)?", re.IGNORECASE)
_CHARSET = re.compile(r';\s*charset\s*=\s*"?([^\s;"]*)', re.IGNORECASE)
_NOTHING: tuple[Any, ...] = (None, {}, [], "")


class JsonRequest(Request):
    """A request whose JSON keeps its decimals."""

    async def json(self) -> Any:
        if not hasattr(self, "_json"):
            try:
                large: LargeBodyQueue = self.app.state.large_body_queue
                self._json = await large.parse(await self.body(), self.is_disconnected)
            except strict_json.MalformedJson as error:
                raise Problem(400, "malformed_json", str(error)) from None
            except strict_json.RefusedValue as error:
                field = field_of(("body", *error.location))
                raise validation_failed([{"field": field, "message": str(error)}]) from None
        return self._json

    @property
    def parsed(self) -> Any:
        """The body's value, None for an endpoint that takes no body."""
        return getattr(self, "_json", None)


class JsonRoute(APIRoute):
    """A route that takes its body as JSON in UTF-8 only (415 otherwise), and no unknown parameter.

    Where no body belongs there may be none but empty JSON: a form is what any page can send.
    """

    takes_any_query: ClassVar[bool] = False

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()
        wants_body = self.body_field is not None
        known = known_names(self.dependant)

        async def strict(request: Request) -> Response:
            request = JsonRequest(request.scope, request.receive, request._send)
            if not self.takes_any_query:
                refuse_others(request.scope["query_string"], known)
            if wants_body:
                await _require_json(request)
                if await request.body():
                    await request.json()  # the framework would answer a caller who is gone
            elif _has_body(request):
                await _require_nothing(request)
            return await handler(request)

        return strict


class ProbeRoute(JsonRoute):
    """A route for probes and scrapers, who add parameters that nobody here has to know."""

    takes_any_query = True


def _has_body(request: Request) -> bool:
    """Whether one is announced (RFC 9112, section 6)."""
    headers = request.headers
    return "transfer-encoding" in headers or headers.get("content-length", "0") != "0"


async def _require_nothing(request: JsonRequest) -> None:
    if not await request.body():
        return
    await _require_json(request)
    if await request.json() not in _NOTHING:
        raise Problem(400, "unexpected_body", "Nothing is taken here: send no body, or {}.")


async def _require_json(request: Request) -> None:
    media_type = request.headers.get("content-type")
    encoding = request.headers.get("content-encoding", "identity")
    if encoding.strip().lower() not in ("", "identity"):
        raise Problem(415, "unsupported_media_type", "A body is taken as it is, not compressed.")
    if media_type is not None and _JSON_TYPE.fullmatch(media_type.strip()):
        if [one.lower() for one in _CHARSET.findall(media_type)] in ([], ["utf-8"]):
            return
        raise Problem(415, "unsupported_media_type", "JSON is in UTF-8 (RFC 8259, section 8.1).")
    if media_type is None and not await request.body():
        return  # the model's own "field required" says it better
    raise Problem(
        415,
        "unsupported_media_type",
        "The body has to be JSON: send Content-Type: application/json.",
        headers={"Accept": "application/json"},
    )


class Router(APIRouter):
    """The router for every endpoint here: JSON is read strictly.

    The OpenAPI operation of the endpoint `place_order` is called `placeOrder`.
    """

    def __init__(self, **options: Any) -> None:
        rules = {
            "route_class": JsonRoute,
            "redirect_slashes": False,
            "generate_unique_id_function": _operation_id,
        }
        super().__init__(**{**rules, **options})


def _operation_id(route: APIRoute) -> str:
    first, *others = route.name.split("_")
    return first + "".join(word.capitalize() for word in others)


class RequestGuard:
    """A path works with and without its trailing slash, unredirected.

    NUL bytes and what is no UTF-8 get no further, in the path or the query.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path: str = scope["path"]
        for field, text in (
            ("path", scope.get("raw_path") or path.encode()),
            ("query", scope["query_string"]),
        ):
            if message := _refusal_of_octets(text):
                refused = validation_failed([{"field": field, "message": message}])
                await problems.response(refused, scope)(scope, receive, send)
                return
        if len(path) > 1 and path.endswith("/") and _sent_with_slash(scope):
            scope["path"] = path[:-1]
        await self.app(scope, receive, send)


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
    raw: bytes | None = scope.get("raw_path")
    return raw is None or raw.partition(b"?")[0].endswith(b"/")


class BodyLimit:
    """413 for a body over `limit` bytes: at once when it is announced, else when it is exceeded.

    503 for a large one while the bodies of all requests that are not done have over `held` bytes.
    """

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
