"""Which requests are accepted: by the name the service is called, and by the page's origin.

A browser sends what any page asks for, to any address that the page knows or makes up. It says
where the page came from (`Origin`, `Sec-Fetch-Site`: Fetch Standard, section 3.2; W3C Fetch
Metadata, section 2) and by which name the service was reached (`Host`). A name that was never
configured means DNS rebinding. Other clients send no origin and need none.
"""

import re
from dataclasses import dataclass
from typing import Annotated

from pydantic import BeforeValidator
from pydantic_settings import NoDecode
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from servicekit.http import problems
from servicekit.http.problems import Problem
from servicekit.http.security_headers import with_security_headers

__all__ = ["ANY_HOST", "LOOPBACK_HOSTS", "AccessGuard", "AccessRules", "Hosts", "Origins"]

ANY_HOST = frozenset({"*"})
LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "[::1]"})
# Probes and scrapers come by address. Nothing there can be changed, and no data is shown.
OPEN_TO_EVERY_NAME = frozenset({"/health", "/health/live", "/health/ready", "/metrics"})
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})  # RFC 9110, section 9.2.1
EXPOSED = ("ETag", "Idempotency-Replayed", "Location", "Retry-After")
PREFLIGHT_SECONDS = 600


def _listed(pattern: str, message: str) -> BeforeValidator:
    """Several values, separated by commas; in small letters, because they are compared so."""
    matches = re.compile(pattern).fullmatch

    def split(value: object) -> object:
        if not isinstance(value, str):
            return value
        given = [one.strip().lower() for one in value.split(",")]
        if wrong := [one for one in given if not matches(one)]:
            raise ValueError(f"{wrong[0]!r} {message}")
        return frozenset(given)

    return BeforeValidator(split)


_NAME = r"(\[[0-9a-f:.]+\]|[a-z0-9_-]+(\.[a-z0-9_-]+)*)"
Hosts = Annotated[
    frozenset[str], NoDecode, _listed(rf"\*|{_NAME}", "is not a host name without a port, or *")
]
Origins = Annotated[
    frozenset[str],
    NoDecode,
    _listed(rf"https?://{_NAME}(:[0-9]+)?", "is not an origin: scheme, host and port, no path"),
]


@dataclass(frozen=True)
class AccessRules:
    """What a service accepts: host names without ports, and origins as browsers send them."""

    allowed_hosts: frozenset[str] = ANY_HOST
    cors_origins: frozenset[str] = frozenset()
    docs: bool = True
    """Whether the pages that show the OpenAPI document are served."""

    def layers(self) -> list[Middleware]:
        guard = Middleware(AccessGuard, access=self)
        if not self.cors_origins:
            return [guard]
        cors = Middleware(
            CORSMiddleware,
            allow_origins=sorted(self.cors_origins),
            allow_methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=["*"],
            expose_headers=EXPOSED,
            max_age=PREFLIGHT_SECONDS,
        )
        return [guard, cors]

    def refusal(self, method: str, path: str, headers: list[tuple[bytes, bytes]]) -> Problem | None:
        """Return why a request is refused, or None."""
        given = {name: value.decode("latin-1").lower() for name, value in headers}
        host = given.get(b"host", "")
        known = "*" in self.allowed_hosts or _name_of(host) in self.allowed_hosts
        if not known and path.rstrip("/") not in OPEN_TO_EVERY_NAME:
            return _misdirected()
        origin = given.get(b"origin")
        if origin in self.cors_origins:
            return None
        preflight = method == "OPTIONS" and b"access-control-request-method" in given
        if self._is_foreign(origin, host, given) and (method not in SAFE_METHODS or preflight):
            return _cross_site()
        return None

    def _is_foreign(self, origin: str | None, host: str, given: dict[bytes, str]) -> bool:
        if given.get(b"sec-fetch-site") == "cross-site":
            return True
        if origin is None:
            return False
        name = origin.partition("://")[2]  # nothing of "null"
        return not name or name != host


class AccessGuard:
    """Refuses what `access` does not accept, 421 and 403, before anything is read.

    Every answer, a refusal too, gets the security headers.
    """

    def __init__(self, app: ASGIApp, access: AccessRules) -> None:
        self.app = app
        self.access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            send = with_security_headers(send)
            refused = self.access.refusal(scope["method"], scope["path"], scope["headers"])
            if refused is not None:
                await problems.response(refused, scope)(scope, receive, send)
                return
        await self.app(scope, receive, send)


def _name_of(host: str) -> str:
    """A Host header without its port, which may be empty, and the root's dot (RFC 3986, 3.2)."""
    name, colon, port = host.rpartition(":")
    if not colon or not (port.isdigit() or port == ""):
        name = host
    rootless = name.removesuffix(".")
    return name if rootless.rpartition(".")[2].isdigit() else rootless  # an address has no root


def _misdirected() -> Problem:
    detail = "This service is not known by the name that the request was sent to."
    return Problem(421, "misdirected_request", detail)  # see decision 1202


def _cross_site() -> Problem:
    detail = "A page of another origin may not change anything here."
    return Problem(403, "cross_site_request", detail)
