"""`make demo` drives every flow of the running system and prints each call with its answer."""

import json
import secrets
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from devstack.docker.stack import Docker
from devstack.host.console import plain
from devstack.host.errors import Trouble
from devstack.native.services import SERVICES
from devstack.native.stack import Native
from devstack.native.summary import ORDER

TICKET = {"subject": "No sound", "text": "The left speaker is silent.", "email": "ann@example.com"}


def call(
    method: str, url: str, body: Mapping[str, Any] | None = None, *, refusal: int = 0
) -> dict[str, Any]:
    """Print a request and its answer; a refusal is Trouble, unless it is the expected one."""
    plain(f"\n{method} {url}")
    if body is not None:
        plain(f"  {json.dumps(body)}")
    status, text = _answer(method, url, body)
    plain(f"→ {status} {text.decode(errors='replace')}")
    if status >= 400 and status != refusal:
        raise Trouble(f"{method} {url} answered {status}, see above")
    found: dict[str, Any] = json.loads(text) if text else {}
    return found


def addresses(stack: Native | Docker) -> tuple[str, str]:
    """The URLs of service-orders and service-processor."""
    if isinstance(stack, Docker):
        ports = [stack.port(f"{service.name}-api", service.port) for service in SERVICES]
        return f"http://127.0.0.1:{ports[0]}", f"http://127.0.0.1:{ports[1]}"
    state = stack.running()
    if state is None:
        raise Trouble("the system does not run: make start")
    return state.urls["orders"], state.urls["processor"]


def run(orders: str, processor: str) -> None:
    """An order, a booking, a reservation, a ticket and a ride, each from beginning to end."""
    show_order(f"{orders}/api/v1")
    show_booking(f"{orders}/api/v1")
    show_reservation(f"{processor}/api/v1")
    show_ticket(f"{orders}/api/v1", f"{processor}/api/v1")
    show_ride(f"{orders}/api/v1")


def show_order(api: str) -> None:
    placed = call("POST", f"{api}/orders/new/", ORDER)
    address = f"{api}/orders/{placed['id']}"
    settled = call("GET", f"{address}/status?wait=5")
    call("GET", address)
    if settled["status"] not in ("COMPLETED", "FAILED", "CANCELLED"):
        raise Trouble(f"order {placed['id']} is still {settled['status']}: make status, make logs")
    plain(f"\nThe order ended {settled['status']}, decided by service-processor.")


def show_booking(api: str) -> None:
    """Book an unlikely time, and cancel the booking at the end, so that it can be repeated."""
    call("GET", f"{api}/restaurants/1")
    wanted = {"restaurant_id": 1, "booking_datetime": _some_day(), "guests_count": 2}
    asked = call("POST", f"{api}/bookings", wanted)
    address = f"{api}/bookings/{asked['id']}"
    settled = call("GET", f"{address}?wait=5")
    if settled["status"] not in ("CONFIRMED", "REJECTED"):
        raise Trouble(f"booking {asked['id']} is still {settled['status']}: make status, make logs")
    if settled["status"] == "CONFIRMED":
        call("POST", f"{address}/cancel")
    call("GET", f"{address}/history")
    plain(f"\nThe booking was {settled['status']}: the smallest free table that fits, or none.")


def show_reservation(api: str) -> None:
    """Send the same reservation twice; the second is refused with the reason."""
    wanted = {"table_id": 1, "customer_name": "Ada", "reservation_time": _some_day()}
    wanted |= {"duration_minutes": 90}
    made = call("POST", f"{api}/reservations", wanted)
    refused = call("POST", f"{api}/reservations", wanted, refusal=409)
    call("DELETE", f"{api}/reservations/{made['id']}")
    plain(f"\nThe second was refused as {refused['code']}; the first was taken back.")


def show_ticket(orders: str, processor: str) -> None:
    """A ticket from open to closed, and its timeline in the other service."""
    opened = call("POST", f"{orders}/tickets", TICKET)
    address, known = f"{orders}/tickets/{opened['id']}", f"{processor}/tickets/{opened['id']}"
    call("POST", f"{address}/comments", {"email": "bob@example.com", "text": "Is it plugged in?"})
    call("PATCH", address, {"status": "answered"})
    call("PATCH", address, {"status": "open"}, refusal=409)
    call("PATCH", address, {"status": "closed"})
    ended = call("GET", address)
    call("GET", f"{address}/history")
    if not _arrives(f"{known}/timeline", versions=ended["version"]):
        raise Trouble(f"the timeline of ticket {opened['id']} is not whole: make status, make logs")
    call("GET", f"{known}/timeline")
    call("GET", f"{known}/notifications")
    plain("\nThe ticket's timeline in service-processor has every version, in order.")


def show_ride(api: str) -> None:
    """A ride of six seconds, on a scooter that is free."""
    wanted = {"user_id": "user-1", "scooter_id": f"scooter-{secrets.token_hex(4)}"}
    offer = call("POST", f"{api}/offers", wanted)
    started = call("POST", f"{api}/rentals?wait=10", {"token": offer["token"]})
    if started["status"] != "ACTIVE":
        raise Trouble(f"rental {started['id']} is {started['status']}: make status, make logs")
    call("POST", f"{api}/rentals", {"token": offer["token"]}, refusal=409)
    time.sleep(6)  # a shorter ride is free
    address = f"{api}/rentals/{started['id']}"
    call("POST", f"{address}/finish")
    ended = call("GET", f"{address}?wait=10")
    call("GET", f"{address}/history")
    plain(f"\nThe ride ended {ended['status']}, for {ended['total_amount']}: paid once.")


def _arrives(timeline: str, *, versions: int) -> bool:
    """Whether the processor knows all versions within ten seconds."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        status, text = _answer("GET", timeline)
        if status == 200 and len(json.loads(text)["items"]) == versions:
            return True
        time.sleep(0.05)
    return False


def _answer(method: str, url: str, body: Mapping[str, Any] | None = None) -> tuple[int, bytes]:
    data = json.dumps(body).encode() if body is not None else None
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, data=data, method=method, headers=headers)  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=40) as answer:  # noqa: S310
            return answer.status, answer.read()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read()
    except OSError as problem:
        raise Trouble(f"{url} does not answer ({problem}): make start") from problem


def _some_day() -> str:
    """A random minute within the next two years."""
    ahead = timedelta(days=30 + secrets.randbelow(670), minutes=secrets.randbelow(1440))
    return (datetime.now(UTC) + ahead).isoformat(timespec="seconds")
