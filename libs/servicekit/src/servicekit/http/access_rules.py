"""Which requests are accepted: by the name the service is called, and by the page's origin.

A browser sends what any page asks for, to any address that the page knows or makes up. It says
where the page came from (`Origin`, `Sec-Fetch-Site`: Fetch Standard, section 3.2; W3C Fetch
Metadata, section 2) and by which name the service was reached (`Host`). A name that was never
configured means DNS rebinding. Other clients send no origin and need none.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated

from pydantic import BeforeValidator
from pydantic_settings import NoDecode
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from servicekit.http.problems import Problem

__all__ = ["ANY_HOST", "LOOPBACK_HOSTS", "AccessRules", "Hosts", "Origins"]

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
        """The framework's CORS, if there are origins."""
        if not self.cors_origins:
            return []
        cors = Middleware(
            CORSMiddleware,
            allow_origins=sorted(self.cors_origins),
            allow_methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=["*"],
            expose_headers=EXPOSED,
            max_age=PREFLIGHT_SECONDS,
        )
        return [cors]

    def refusal(self, method: str, path: str, headers: Mapping[bytes, bytes]) -> Problem | None:
        """Return why a request is refused, before anything of it is read; or None."""
        host = _text(headers, b"host")
        known = "*" in self.allowed_hosts or _name_of(host) in self.allowed_hosts
        if not known and path.rstrip("/") not in OPEN_TO_EVERY_NAME:
            return _misdirected()
        if b"origin" not in headers and b"sec-fetch-site" not in headers:
            return None
        origin = _text(headers, b"origin") if b"origin" in headers else None
        if origin in self.cors_origins:
            return None
        preflight = method == "OPTIONS" and b"access-control-request-method" in headers
        if method in SAFE_METHODS and not preflight:
            return None
        foreign = _text(headers, b"sec-fetch-site") == "cross-site" or _is_foreign(origin, host)
        return _cross_site() if foreign else None


def _text(headers: Mapping[bytes, bytes], name: bytes) -> str:
    return headers.get(name, b"").decode("latin-1").lower()


def _is_foreign(origin: str | None, host: str) -> bool:
    if origin is None:
        return False
    name = origin.partition("://")[2]  # nothing of "null"
    return not name or name != host


@lru_cache(maxsize=64)
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
