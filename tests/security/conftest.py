"""Both services, live, and logins with the rights that they have when they are deployed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import httpx
import pytest

from kit.http.live_services import Live, live_for_tests
from kit.servers import addresses

DEPLOYED = Path(__file__).parents[2] / "deploy/secrets/rabbitmq_definitions.json"
USERS = ("orders", "processor")

Login = Callable[[str], str]


@pytest.fixture(scope="module")
def orders() -> Iterator[Live]:
    yield from live_for_tests("orders")


@pytest.fixture(scope="module")
def processor() -> Iterator[Live]:
    yield from live_for_tests("processor")


def rights() -> dict[str, dict[str, str]]:
    """By user, as deployed in containers."""
    permissions = json.loads(DEPLOYED.read_text())["permissions"]
    return {one["user"]: {k: one[k] for k in ("configure", "write", "read")} for one in permissions}


@pytest.fixture
def login(broker_url: str) -> Iterator[Login]:
    """The URL for one of the services' users, who exist for the length of the test."""
    url, suffix = urlsplit(broker_url), uuid4().hex[:8]
    with httpx.Client(base_url=addresses.rabbitmq_management(), timeout=60) as api:
        for user in USERS:
            name = f"{user}-{suffix}"
            api.put(f"/api/users/{name}", json={"password": "x", "tags": ""}).raise_for_status()
            place = f"/api/permissions{url.path}/{name}"
            api.put(place, json=rights()[user]).raise_for_status()
        try:
            place = f"{url.hostname}:{url.port}"
            yield lambda user: urlunsplit(url._replace(netloc=f"{user}-{suffix}:x@{place}"))
        finally:
            for user in USERS:
                api.delete(f"/api/users/{user}-{suffix}").raise_for_status()
