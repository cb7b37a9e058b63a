"""A whole system in which something goes wrong, for the pictures of docs/console.md.

Customers place orders all the time. Some effects fail in the processor's database, by three causes
that stay, and once by one that is mended: its orders are parked, and go on by themselves.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count

import httpx
import psycopg

from devstack.native.system import System
from kit.services.order_client import ORDER
from kit.waiting import wait_until

TICKET = {"subject": "No sound", "text": "The left speaker is silent.", "email": "ann@example.com"}
CAUSES = {
    "fulfilments": "the warehouse answers 503 <b>maintenance</b> until 20:30",
    "booking_decisions": "table plan 7 is locked",
    "ticket_timeline": "no mailbox for ann@example.com",
}
"""By table, the error that every fifth row of it gets."""

_BREAK = """
CREATE FUNCTION break_{table}() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF {condition} THEN RAISE EXCEPTION '{error}' USING ERRCODE = '{code}'; END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER broken BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION break_{table}();
"""
_MEND = "DROP TRIGGER broken ON {table}; DROP FUNCTION break_{table}();"
FIFTH = "abs(hashtext(NEW::text)) % 5 = 0"


class Scenes:
    """What happens in one system."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._http = httpx.Client(base_url=f"{system.urls['orders']}/api/v1", timeout=30)

    @contextmanager
    def break_table(self, table: str, error: str, *, condition: str = FIFTH) -> Iterator[None]:
        """As long as the block lasts, rows of a table that fulfil the condition are refused."""
        given = {"table": table, "error": error, "condition": condition, "code": "P0001"}
        self._at_processor(_BREAK.format(**given))
        try:
            yield
        finally:
            self._at_processor(_MEND.format(table=table))

    def park_once(self) -> str:
        """Place an order whose event is parked first and applied then; its id."""
        with self.break_table("fulfilments", "the warehouse is away", condition="true"):
            placed: str = self._http.post("/orders", json=ORDER).json()["id"]
            wait_until(lambda: self._parked(placed) > 0)
        wait_until(lambda: self._parked(placed) == 0, within=60)
        return placed

    def open_tickets(self, many: int) -> None:
        """Answered tickets are closed by themselves when they are due: scheduled events."""
        for _ in range(many):
            ticket = self._http.post("/tickets", json=TICKET).json()["id"]
            comment = {"email": "bob@example.com", "text": "Is it plugged in?"}
            self._http.post(f"/tickets/{ticket}/comments", json=comment)
            self._http.patch(f"/tickets/{ticket}", json={"status": "answered"})

    def book(self, many: int) -> None:
        for number in range(many):
            at = f"2027-01-{number % 27 + 1:02d}T19:00:00"
            wanted = {"restaurant_id": 1, "booking_datetime": at, "guests_count": 2}
            self._http.post("/bookings", json=wanted)

    @contextmanager
    def customers(self, *, at_once: int = 4) -> Iterator[None]:
        """Orders are placed one after the other by so many customers until the block ends."""
        numbers, is_over = count(), False

        def order() -> None:
            while not is_over:
                self._http.post("/orders", json={**ORDER, "user_id": f"user_{next(numbers)}"})

        with ThreadPoolExecutor(at_once) as pool:
            for _ in range(at_once):
                pool.submit(order)
            try:
                yield
            finally:
                is_over = True

    def parked(self) -> int:
        """How many events the processor has parked."""
        return self._ask("SELECT count(*) FROM inbox_parked")

    def _parked(self, aggregate_id: str) -> int:
        query = "SELECT count(*) FROM inbox_parked WHERE aggregate_id = %s"
        return self._ask(query, aggregate_id)

    def _ask(self, query: str, *parameters: object) -> int:
        with psycopg.connect(self._owner) as connection:
            row = connection.execute(query, parameters).fetchone()
        assert row is not None
        return int(row[0])

    def _at_processor(self, statements: str) -> None:
        with psycopg.connect(self._owner, autocommit=True) as connection:
            connection.execute(statements)

    @property
    def _owner(self) -> str:
        return self._system.environment["processor"]["DATABASE_OWNER_URL_PROCESSOR"]
