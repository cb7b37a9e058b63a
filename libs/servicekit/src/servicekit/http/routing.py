"""Routes that read JSON strictly. Every endpoint is on one of these."""

import re
from collections.abc import Callable, Coroutine
from functools import lru_cache
from typing import Any, ClassVar

from fastapi import APIRouter
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from servicekit.http import strict_json
from servicekit.http.exception_handlers import field_of, validation_failed
from servicekit.http.large_body_queue import LargeBodyQueue
from servicekit.http.problems import Problem
from servicekit.http.query_parameters import known_names, refuse_others

__all__ = ["JsonRequest", "JsonRoute", "ProbeRoute", "Router", "StrictInput"]

_JSON_TYPE = re.compile(r"application/(json|[\w.+-]+\+json)\s*(;.*)?", re.IGNORECASE)
_CHARSET = re.compile(r';\s*charset\s*=\s*"?([^\s;"]*)', re.IGNORECASE)
_ACCEPT = {"Accept": "application/json"}
_NOTHING: tuple[Any, ...] = (None, {}, [], "")


class JsonRequest(Request):
    """A request whose JSON keeps its decimals."""

    async def body(self) -> bytes:
        if not hasattr(self, "_body"):
            chunks, more = list[bytes](), True
            while more:
                message = await self._receive()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnect
                chunks.append(message.get("body", b""))
                more = message.get("more_body", False)
            self._body = b"".join(chunks)
        return self._body

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
        """The body's value; None for an endpoint without a body."""
        return getattr(self, "_json", None)

    @property
    def is_parsed(self) -> bool:
        """Whether there was a body; its value may be null."""
        return hasattr(self, "_json")


class JsonRoute(APIRoute):
    """A route that reads its body as JSON in UTF-8 only (else 415), without unknown parameters.

    An endpoint without a body accepts none but empty JSON: any page can send a form.
    """

    takes_any_query: ClassVar[bool] = False

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()
        rules = self.strict_input(self.dependant, has_body=self.body_field is not None)

        async def strict(request: Request) -> Response:
            request = JsonRequest(request.scope, request.receive, request._send)
            await rules.check(request)
            return await handler(request)

        return strict

    def strict_input(self, dependant: Dependant, *, has_body: bool) -> "StrictInput":
        """The rules for the requests of an endpoint on this route."""
        return StrictInput(None if self.takes_any_query else known_names(dependant), has_body)


class ProbeRoute(JsonRoute):
    """A route for probes and scrapers, which may add parameters of their own."""

    takes_any_query = True


class StrictInput:
    """What the framework would let pass, and is refused before an endpoint is called."""

    def __init__(self, known: dict[str, bool] | None, has_body: bool) -> None:
        self._known = known
        self._has_body = has_body

    async def check(self, request: JsonRequest) -> None:
        """Read the body, if there is one. Raises Problem, or ClientDisconnect."""
        if self._known is not None:
            refuse_others(request.scope["query_string"], self._known)
        if self._has_body:
            await _require_json(request)
            if await request.body():
                await request.json()  # the framework would answer a caller who has gone
        elif _announces_body(request):
            await _require_nothing(request)


def _announces_body(request: Request) -> bool:
    """Whether there is a body (RFC 9112, section 6)."""
    for name, value in request.scope["headers"]:
        if name == b"transfer-encoding" or (name == b"content-length" and value != b"0"):
            return True
    return False


async def _require_nothing(request: JsonRequest) -> None:
    if not await request.body():
        return
    await _require_json(request)
    if await request.json() not in _NOTHING:
        raise Problem(400, "unexpected_body", "This endpoint accepts no body: send none, or {}.")


async def _require_json(request: Request) -> None:
    headers = request.headers
    media_type = headers.get("content-type")
    encoding = headers.get("content-encoding")
    if encoding and encoding.strip().lower() not in ("", "identity"):
        raise Problem(415, "unsupported_media_type", "A compressed body is not accepted.")
    if media_type is None and not await request.body():
        return  # the model's own "field required" says it better
    if refused := _refusal_of_type(media_type or ""):
        raise Problem(415, "unsupported_media_type", refused, headers=_ACCEPT)


@lru_cache(maxsize=64)
def _refusal_of_type(media_type: str) -> str | None:
    if not _JSON_TYPE.fullmatch(media_type.strip()):
        return "The body has to be JSON: send Content-Type: application/json."
    if [one.lower() for one in _CHARSET.findall(media_type)] in ([], ["utf-8"]):
        return None
    return "JSON is in UTF-8 (RFC 8259, section 8.1)."


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
