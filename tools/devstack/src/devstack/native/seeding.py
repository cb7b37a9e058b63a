"""Waits until service-orders knows the demo restaurants as well."""

import json
import time
import urllib.request
from collections.abc import Mapping
from typing import Any

from devstack.host.console import say
from devstack.host.errors import Trouble

LIMIT = 30.0  # seconds


def wait_until_known(urls: Mapping[str, str]) -> None:
    """Return when service-orders lists every restaurant of service-processor."""
    deadline = time.monotonic() + LIMIT
    while missing := _ids(urls["processor"]) - _ids(urls["orders"]):
        if time.monotonic() > deadline:
            raise Trouble(
                f"service-orders does not know restaurant {min(missing)} after {LIMIT:.0f} s:"
                " make status, make logs"
            )
        time.sleep(0.05)
    say("both services know the demo restaurants")


def _ids(url: str) -> set[int]:
    """The ids of all pages; the demo restaurants are the oldest and come last."""
    found: set[int] = set()
    cursor = ""
    while True:
        page = _page(f"{url}/api/v1/restaurants?limit=100{cursor}")
        found |= {item["id"] for item in page["items"]}
        if page["next_cursor"] is None:
            return found
        cursor = f"&cursor={page['next_cursor']}"


def _page(address: str) -> dict[str, Any]:
    try:
        with urllib.request.urlopen(address, timeout=10) as answer:  # noqa: S310
            page: dict[str, Any] = json.load(answer)
    except OSError as problem:
        raise Trouble(f"{address} does not answer ({problem}): make logs") from problem
    return page
