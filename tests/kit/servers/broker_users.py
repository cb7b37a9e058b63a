"""Users of the broker that tests make for themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import httpx

from kit.servers import addresses
from kit.servers.vhosts import EVERYTHING


@contextmanager
def user_without(broker_url: str, **rights: str) -> Iterator[tuple[str, Callable[..., None]]]:
    """A login with these rights, and a way to change them; all rights that are not named."""
    url, name = urlsplit(broker_url), f"limited-{uuid4().hex[:8]}"
    with httpx.Client(base_url=addresses.rabbitmq_management(), timeout=60) as api:

        def give(**rights: str) -> None:
            wanted = EVERYTHING | rights
            api.put(f"/api/permissions{url.path}/{name}", json=wanted).raise_for_status()

        api.put(f"/api/users/{name}", json={"password": "x", "tags": ""}).raise_for_status()
        give(**rights)
        try:
            yield urlunsplit(url._replace(netloc=f"{name}:x@{url.hostname}:{url.port}")), give
        finally:
            api.delete(f"/api/users/{name}").raise_for_status()
