"""Whatever either OpenAPI document allows or forbids is answered as the document says.

25 random cases of each operation and a fixed seed; SCHEMATHESIS_EXAMPLES and SCHEMATHESIS_SEED
change both. Boundary values and examples of each parameter come on top.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from uuid import uuid4

import httpx
import psycopg
import pytest
import schemathesis

from kit.http.live_services import Live, document
from kit.http.openapi import AnyCase, Tries, tried
from kit.services.restaurant import at

EXAMPLES = int(os.environ.get("SCHEMATHESIS_EXAMPLES", "25"))
SEED = int(os.environ.get("SCHEMATHESIS_SEED", "20261121"))
DOCUMENTS = {
    name: tried(document(name), examples=EXAMPLES, seed=SEED) for name in ("orders", "processor")
}

pytestmark = pytest.mark.timeout(60 + EXAMPLES)


@pytest.fixture(scope="module")
def tries(orders: Live, processor: Live) -> Iterator[dict[str, Tries]]:
    """Both services, keyed by the title of their documents."""
    httpx.put(
        f"{processor.base}/api/v1/products/0", json={"stock": 1}, timeout=30
    ).raise_for_status()
    _furnish(orders, processor)
    live = {"service-orders": Tries(orders), "service-processor": Tries(processor)}
    live["service-processor"].made["ticket_id"].append(_ticket_heard_of(processor))
    live["service-orders"].made["rental_id"].append(_ride_under_way(orders))
    yield live
    for one in live.values():
        one.session.close()


def _furnish(orders: Live, processor: Live) -> None:
    """Restaurant 1 with a table 1 at the processor, and its copy at service-orders."""
    api = f"{processor.base}/api/v1"
    restaurant = httpx.post(f"{api}/restaurants", json={"name": "R", "address": "A"}, timeout=30)
    assert restaurant.json()["id"] == 1
    for name in ("S", "T"):  # the first cannot be deleted, the second can
        httpx.post(f"{api}/tables", json={"name": name, "seats": 2}, timeout=30)
    body = {"table_id": 1, "customer_name": "Ada", "reservation_time": at(), "duration_minutes": 5}
    httpx.post(f"{api}/reservations", json=body, timeout=30).raise_for_status()
    with psycopg.connect(orders.database) as connection:
        connection.execute(
            "INSERT INTO restaurants (id, name, address, timezone, created_at)"
            " VALUES (1, 'R', 'A', 'UTC', now())"
        )


def _ride_under_way(orders: Live) -> str:
    """A rental whose deposit is held; no broker runs here."""
    wanted = {"user_id": "user-1", "scooter_id": "scooter-0"}
    api = f"{orders.base}/api/v1"
    token = httpx.post(f"{api}/offers", json=wanted, timeout=30).json()["token"]
    rental_id: str = httpx.post(f"{api}/rentals", json={"token": token}, timeout=30).json()["id"]
    with psycopg.connect(orders.database) as connection:
        connection.execute("UPDATE rentals SET status = 'ACTIVE', active_at = now()")
    return rental_id


def _ticket_heard_of(processor: Live) -> str:
    """A ticket whose first event has arrived; no broker runs here."""
    ticket_id = str(uuid4())
    with psycopg.connect(processor.database) as connection:
        connection.execute(
            "INSERT INTO ticket_timeline (ticket_id, version, type, at, event_id, status)"
            " VALUES (%s, 1, 'ticket.created', now(), gen_random_uuid(), 'open')",
            [ticket_id],
        )
    return ticket_id


@schemathesis.pytest.parametrize(**DOCUMENTS)
def test_every_answer_is_as_documented(case: AnyCase, tries: dict[str, Tries]) -> None:
    tries[case.operation.schema.raw_schema["info"]["title"]].run(case)


TRIES = test_every_answer_is_as_documented.__name__


def test_every_operation_succeeded_at_least_once(
    tries: dict[str, Tries], request: pytest.FixtureRequest
) -> None:
    """Skipped if some operations were not selected: others need what they would have made."""
    documented = {
        (schema.raw_schema["info"]["title"], f"{method.upper()} {path}")
        for schema in DOCUMENTS.values()
        for path, operations in schema.raw_schema["paths"].items()
        for method in operations
    }
    selected = [item for item in request.session.items if item.name.startswith(f"{TRIES}[")]
    if len(selected) < len(documented):
        pytest.skip(f"only {len(selected)} of {len(documented)} operations were selected")
    answered = set()
    for title, one in tries.items():
        for (label, status), count in sorted(one.answers.items()):
            print(f"{title:20} {label:40} {status} {count:6}")
            if status < 300:
                answered.add((title, label))
    assert answered == documented


@pytest.mark.parametrize("name", list(DOCUMENTS))
def test_the_document_tried_is_the_document_served(
    name: str, request: pytest.FixtureRequest
) -> None:
    live: Live = request.getfixturevalue(name)
    assert httpx.get(f"{live.base}/openapi.json", timeout=30).json() == DOCUMENTS[name].raw_schema
