"""Virtual hosts that tests have for themselves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote, urlsplit, urlunsplit
from uuid import uuid4

import httpx

EVERYTHING = {"configure": ".*", "write": ".*", "read": ".*"}


@contextmanager
def fresh_vhost(amqp: str, management: str) -> Iterator[str]:
    """The URL of a virtual host for the user that `amqp` names, gone after the block.

    With all its queues. `management` is the API's address, with an administrator in it.
    """
    url = urlsplit(amqp)
    name = f"test-{uuid4().hex[:12]}"
    path = f"/api/vhosts/{quote(name, safe='')}"
    with httpx.Client(base_url=management, timeout=60) as api:
        api.put(path).raise_for_status()
        api.put(f"/api/permissions/{name}/{url.username}", json=EVERYTHING).raise_for_status()
    try:
        yield urlunsplit(url._replace(path=f"/{name}"))
    finally:
        with httpx.Client(base_url=management, timeout=60) as api:
            api.delete(path).raise_for_status()
