"""A virtual host of the test broker's, gone with the block."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import httpx


@contextmanager
def virtual_host() -> Iterator[str]:
    """The URL of an empty virtual host."""
    base = urlsplit(os.environ["TEST_RABBITMQ_URL"])
    name = f"bench-{uuid4().hex[:12]}"
    with httpx.Client(base_url=os.environ["TEST_RABBITMQ_MANAGEMENT_URL"], timeout=30) as broker:
        broker.put(f"/api/vhosts/{name}").raise_for_status()
        everything = {"configure": ".*", "write": ".*", "read": ".*"}
        rights = f"/api/permissions/{name}/{base.username}"
        broker.put(rights, json=everything).raise_for_status()
        try:
            yield urlunsplit(base._replace(path=f"/{name}"))
        finally:
            broker.delete(f"/api/vhosts/{name}").raise_for_status()
