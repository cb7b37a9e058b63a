"""Templates become pages. Every value is escaped, and every link comes from the name of a route.

The context of each template has `page_list` (the navigation), `here` (the path), `session` and
`now`; `path_for` and `asset` make addresses, and the filters of `figures` write numbers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from http import HTTPStatus
from importlib.resources import files
from typing import Any
from urllib.parse import quote, urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse

from outbox.console import figures

VISITOR = "outbox.console.visitor"
"""Where the scope of a request has its `access.guard.Visitor`."""


def render(
    request: Request, template: str, *, status: int = 200, **context: object
) -> HTMLResponse:
    """The page of a template."""
    visitor = request.scope.get(VISITOR)
    page = _environment().get_template(template)
    known = {
        "request": request,
        "page_list": request.app.state.pages,
        "here": request.scope["path"],
        "session": visitor.session if visitor else None,
        "now": datetime.now(UTC),
    }
    return HTMLResponse(page.render({**known, **context}), status)


def error_page(request: Request, status: int, detail: str) -> HTMLResponse:
    """A page that says what went wrong, and how to go on."""
    title = HTTPStatus(status).phrase
    return render(request, "error.html", status=status, title=title, detail=detail)


def path_for(
    request: Request, name: str, query: Mapping[str, object] | None = None, **parameters: object
) -> str:
    """The path of a route below the console's prefix. Query values of None are left out."""
    quoted = {key: quote(str(value), safe="") for key, value in parameters.items()}
    path = request.scope.get("root_path", "") + request.app.url_path_for(name, **quoted)
    given = {key: value for key, value in (query or {}).items() if value is not None}
    return f"{path}?{urlencode(given, doseq=True)}" if given else path


def redirect(
    request: Request, name: str, query: Mapping[str, object] | None = None, **parameters: object
) -> RedirectResponse:
    """To a page, by GET."""
    return RedirectResponse(path_for(request, name, query, **parameters), 303)


@cache
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("outbox.console"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        duration=figures.duration, number=figures.number, octets=figures.octets, iso=_iso
    )
    made.globals.update(path_for=_path_for, asset=_asset)
    return made


def _iso(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@pass_context
def _path_for(
    context: Context, name: str, query: Mapping[str, object] | None = None, **parameters: Any
) -> str:
    return path_for(context["request"], name, query, **parameters)


@pass_context
def _asset(context: Context, name: str) -> str:
    """A file of the stylesheet, script and pictures; a changed one has another address."""
    path: str = path_for(context["request"], "static", path=name)
    return f"{path}?v={_digest_of(name)}"


@cache
def _digest_of(name: str) -> str:
    content = files("outbox.console").joinpath("static", name).read_bytes()
    return hashlib.sha256(content).hexdigest()[:12]
