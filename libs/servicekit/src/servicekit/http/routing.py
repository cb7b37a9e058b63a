"""Routes that read JSON strictly. Every endpoint is on one of these."""

import re
from collections.abc import Callable, Coroutine
from typing import Any, ClassVar

from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from servicekit.http import strict_json
from servicekit.http.exception_handlers import field_of, validation_failed
from servicekit.http.large_body_queue import LargeBodyQueue
from servicekit.http.problems import Problem
from servicekit.http.query_parameters import known_names, refuse_others

__all__ = ["JsonRequest", "JsonRoute", "ProbeRoute", "Router"]

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
        """The body's value; None for an endpoint without a body."""
        return getattr(self, "_json", None)


class JsonRoute(APIRoute):
    """A route that reads its body as JSON in UTF-8 only (else 415), without unknown parameters.

    An endpoint without a body accepts none but empty JSON: any page can send a form.
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
                    await request.json()  # the framework would answer a caller who has gone
            elif _has_body(request):
                await _require_nothing(request)
            return await handler(request)

        return strict


class ProbeRoute(JsonRoute):
    """A route for probes and scrapers, which may add parameters of their own."""

    takes_any_query = True


def _has_body(request: Request) -> bool:
    """Whether a body is announced (RFC 9112, section 6)."""
    headers = request.headers
    return "transfer-encoding" in headers or headers.get("content-length", "0") != "0"


async def _require_nothing(request: JsonRequest) -> None:
    if not await request.body():
        return
    await _require_json(request)
    if await request.json() not in _NOTHING:
        raise Problem(400, "unexpected_body", "This endpoint accepts no body: send none, or {}.")


async def _require_json(request: Request) -> None:
    media_type = request.headers.get("content-type")
    encoding = request.headers.get("content-encoding", "identity")
    if encoding.strip().lower() not in ("", "identity"):
        raise Problem(415, "unsupported_media_type", "A compressed body is not accepted.")
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
