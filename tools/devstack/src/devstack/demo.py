"""`make demo`: drives the order flow against the running system and prints each call's answer."""

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

from devstack.console import plain
from devstack.errors import Trouble
from devstack.summary import ORDER


def call(method: str, url: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """One request, printed with its answer."""
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(  # noqa: S310
        url,
        data=data,
        method=method,
        headers={"Content-Type": "application/json"},
    )
    plain(f"\n{method} {url}")
    if body is not None:
        plain(f"  {json.dumps(body)}")
    try:
        with urllib.request.urlopen(request, timeout=40) as answer:  # noqa: S310
            status, text = answer.status, answer.read()
    except urllib.error.HTTPError as refusal:
        status, text = refusal.code, refusal.read()
    except OSError as problem:
        raise Trouble(f"{url} does not answer ({problem}): make start") from problem
    plain(f"→ {status} {text.decode(errors='replace')}")
    if status >= 400:
        raise Trouble(f"{method} {url} answered {status}, see above")
    found: dict[str, Any] = json.loads(text)
    return found


def run(orders: str) -> None:
    """An order from CREATED to its end."""
    placed = call("POST", f"{orders}/api/v1/orders/new/", ORDER)
    address = f"{orders}/api/v1/orders/{placed['id']}"
    settled = call("GET", f"{address}/status?wait=5")
    call("GET", address)
    if settled["status"] not in ("COMPLETED", "FAILED", "CANCELLED"):
        raise Trouble(f"order {placed['id']} is still {settled['status']}: make status, make logs")
    plain(f"\nThe order ended {settled['status']}, decided by service-processor.")
