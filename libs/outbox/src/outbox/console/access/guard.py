"""The layer around every page: who asks, and may they. It refuses before any page runs.

A path is open only if it stands in `OPEN`; a new page therefore needs a login without saying so.
Every method but the safe ones needs the role operator. See decision 1912.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from outbox.console.access.rules import Access
from outbox.console.access.sessions import LIFETIME, Session
from outbox.console.rendering import VISITOR, error_page, redirect, render

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
HEALTH_PATHS = ("/health/live", "/health/ready")
OPEN = frozenset({"/login", *HEALTH_PATHS})
"""Besides files below /static/."""
FOR_EVERYBODY = frozenset({"/login", "/logout"})
"""What a viewer may post to."""
COOKIE = "outbox_console"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who asks. `token` is a new cookie to set, if there is one."""

    address: str
    is_secure: bool
    session: Session | None
    token: str | None = None

    @classmethod
    def of(cls, request: Request) -> Visitor:
        """The one that the guard found."""
        found: Visitor = request.scope[VISITOR]
        return found


class Guard:
    """Finds the session of each request; answers itself what nobody may ask."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":  # there are none
            await send({"type": "websocket.close", "code": 1008})
        else:
            await self._answer(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        headers = _joined(request)
        scope[VISITOR] = visitor = self._visitor(request, headers)
        answer = self._refusal(request, headers, visitor) or self._app
        if visitor.token is not None:
            send = _with_cookie(send, request, visitor)
        await answer(scope, receive, send)

    def _visitor(self, request: Request, headers: Mapping[str, str]) -> Visitor:
        peer = request.client.host if request.client else ""
        proxy, sessions = self._access.proxy, self._access.sessions
        address = proxy.address(peer, headers)
        is_secure = proxy.is_secure(peer, headers, request.url.scheme)
        session = sessions.of(request.cookies.get(COOKIE))
        named = proxy.user(peer, headers)
        if named is None and self._access.users is None:
            return Visitor(address, is_secure, None)  # who left the proxy has left the console
        if named is None or (session and session.user == named):
            return Visitor(address, is_secure, session)
        token, session = sessions.begin(named)
        return Visitor(address, is_secure, session, token)

    def _refusal(
        self, request: Request, headers: Mapping[str, str], visitor: Visitor
    ) -> Response | None:
        method, path = request.method, path_of(request)
        if path not in HEALTH_PATHS and not self._access.knows_host(headers.get("host", "")):
            return error_page(request, 421, "This console is not known by that name.")
        if method not in SAFE_METHODS and _is_from_elsewhere(headers):
            logger.warning("refused a form of another site: %s %r", method, path)
            return error_page(request, 403, "A page of another site may not change anything here.")
        if path in OPEN or path.startswith("/static/"):
            return None
        if visitor.session is None:
            return _to_login(request, headers)
        if method in SAFE_METHODS or path in FOR_EVERYBODY:
            return None
        return _unless_operator(request, visitor, visitor.session)


def path_of(request: Request) -> str:
    """The path below the prefix that the console is mounted under."""
    path: str = request.scope["path"]
    return path.removeprefix(request.scope.get("root_path", "")) or "/"


def set_cookie(response: Response, request: Request, token: str, *, is_secure: bool) -> None:
    """Give the browser a session's token: not for scripts, not for other sites' pages."""
    response.set_cookie(
        COOKIE,
        token,
        max_age=int(LIFETIME),
        path=request.scope.get("root_path", "") or "/",
        secure=is_secure,
        httponly=True,
        samesite="strict",
    )


def _joined(request: Request) -> dict[str, str]:
    """The headers; one that came twice is one with a comma, as HTTP has it (RFC 9110, 5.3)."""
    names = dict.fromkeys(request.headers.keys())
    return {name: ",".join(request.headers.getlist(name)) for name in names}


def _is_from_elsewhere(headers: Mapping[str, str]) -> bool:
    """Whether a browser says that another origin's page sends this."""
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return True
    origin, host = headers.get("origin"), headers.get("host", "")
    return origin is not None and origin.partition("://")[2].lower() != host.lower()


def _to_login(request: Request, headers: Mapping[str, str]) -> Response:
    if "x-live" in headers:  # the script loads the whole page then
        return Response(status_code=401)
    if request.method in SAFE_METHODS and headers.get("sec-fetch-site") == "cross-site":
        # The cookie does not come along with a link of another site: ask once more from here.
        return render(request, "continue.html")
    wanted = request.scope["path"] if request.method == "GET" else None
    if wanted and request.url.query:
        wanted = f"{wanted}?{request.url.query}"
    return redirect(request, "login", {"next": wanted} if wanted else None)


def _unless_operator(request: Request, visitor: Visitor, session: Session) -> Response | None:
    if session.user.role.may_change:
        return None
    logger.warning(
        "%s is a viewer and may not change anything: refused %s %r from %s",
        session.user.name,
        request.method,
        path_of(request),
        visitor.address,
    )
    return error_page(request, 403, "This needs the role operator. You are a viewer.")


def _with_cookie(send: Send, request: Request, visitor: Visitor) -> Send:
    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            made = Response()
            set_cookie(made, request, visitor.token or "", is_secure=visitor.is_secure)
            MutableHeaders(scope=message).append("Set-Cookie", made.headers["set-cookie"])
        await send(message)

    return sent
