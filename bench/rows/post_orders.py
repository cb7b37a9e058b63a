"""POST /orders of one API process, against pgbench running a like transaction; and GET of a status.

The transaction that it compares with: BEGIN, the insert of an order, of its three lines, of its
history, of its stream's counter and of its event, COMMIT; seven statements, 16 clients.
"""

from __future__ import annotations

import asyncio
import json
import re
import statistics
import subprocess
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from bench.figures import Bench, Figure, compare
from bench.load import get, post, requests_per_second
from devstack.native.postgres import binaries
from devstack.native.system import CHECKOUT, Layout, System

SECONDS, CLIENTS = 5, 16
"""Of each measurement, and of pgbench."""
ORDER = {
    "user_id": "user_1",
    "products": [{"product_id": f"product_{n}", "quantity": n + 1} for n in range(3)],
    "amount": "140.00",
}
BODY = json.dumps(ORDER).encode()
TRANSACTION = r"""
\set number random(1, 1000000000000)
BEGIN;
INSERT INTO orders (id, user_id, amount, status, created_at, updated_at)
  VALUES (lpad(to_hex(:number), 32, '0')::uuid, 'user_1', 140, 'CREATED', now(), now());
INSERT INTO order_lines (order_id, product_id, position, quantity)
  SELECT lpad(to_hex(:number), 32, '0')::uuid, 'product_' || n, n, n FROM generate_series(1, 3) n;
INSERT INTO order_history (order_id, number, status, at)
  VALUES (lpad(to_hex(:number), 32, '0')::uuid, 1, 'CREATED', now());
INSERT INTO outbox_streams AS s (source, aggregate_type, aggregate_id, last)
  VALUES ('pgbench', 'order', :number::text, 1)
  ON CONFLICT (source, aggregate_type, aggregate_id) DO UPDATE SET last = s.last + 1;
INSERT INTO outbox (event_id, bucket, source, aggregate_type, aggregate_id, sequence, type, version,
                    payload, correlation_id, published_at)
  VALUES (gen_random_uuid(), 1, 'pgbench', 'order', :number::text, 1, 'order.created', 1,
          '{"order_id":"00000000-0000-0000-0000-000000000000","user_id":"user_1","amount":"140.00"}',
          'pgbench', now());
COMMIT;
"""


def pgbench(system: System, folder: Path) -> float:
    """Transactions per second."""
    script = folder / "transaction.sql"
    script.write_text(TRANSACTION)
    ended = subprocess.run(
        [
            str(binaries(system.layout.venv) / "pgbench"),
            *("-n", "-M", "simple", "-c", str(CLIENTS), "-j", "2", "-T", str(SECONDS)),
            *("-f", str(script), system.environment["orders"]["DATABASE_URL_ORDERS"]),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-500:]
    found = re.search(r"tps = ([\d.]+)", ended.stdout)
    assert found, ended.stdout
    return float(found[1])


@dataclass(frozen=True)
class Load:
    """Clients that post one after the other, and what share of pgbench's rate is wanted."""

    name: str
    clients: int
    least: float
    aim: float
    has_keys: bool = False

    def request(self) -> bytes:
        """One POST; with keys, each has another one."""
        key = f"Idempotency-Key: {uuid4()}\r\n" if self.has_keys else ""
        return post("/api/v1/orders", BODY, key)


LOADS = (
    Load("16 clients", 16, least=0.5, aim=0.9),
    Load("64 clients", 64, least=0.6, aim=1.1),
    Load("64 clients, Idempotency-Key", 64, least=0.35, aim=0.6, has_keys=True),
)


async def run(bench: Bench) -> list[Figure]:
    """A system with services of its own, beside which the bench's own stack stands idle."""
    ours: dict[Load, list[float]] = {load: [] for load in LOADS}
    theirs: list[float] = []
    reads: list[float] = []
    layout = Layout(CHECKOUT, bench.stack.home / "system")
    with System(layout) as system:
        for worker in ("orders-worker", "processor-worker", "processor-api"):
            system.stop_process(worker)
        url = system.urls["orders"]
        status = get(f"/api/v1/orders/{await asyncio.to_thread(_placed, url)}/status")
        for turn in bench.turns:
            for load in LOADS:
                request = load.request if load.has_keys else load.request()
                rate, latency = await requests_per_second(
                    url, request, connections=load.clients, seconds=SECONDS
                )
                ours[load].append(rate)
                bench.note(f"turn {turn + 1}: {load.name} {rate:,.0f}/s ({latency:.1f} ms mean)")
            rate, _ = await requests_per_second(url, status, connections=CLIENTS, seconds=SECONDS)
            reads.append(rate)
            theirs.append(await asyncio.to_thread(pgbench, system, bench.stack.home))
            bench.note(f"turn {turn + 1}: GET status {rate:,.0f}/s, pgbench {theirs[-1]:,.0f}/s")
    figures = [_figure(load, rates, theirs) for load, rates in ours.items()]
    return [*figures, _figure_of_reads(reads, ours[LOADS[0]])]


def _placed(url: str) -> str:
    """The id of a new order."""
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{url}/api/v1/orders", BODY, headers)
    with urllib.request.urlopen(request) as answer:
        return str(json.load(answer)["id"])


def _figure_of_reads(reads: list[float], posts: list[float]) -> Figure:
    return Figure(
        f"GET /orders/{{id}}/status, {CLIENTS} clients",
        statistics.median(reads),
        "/s",
        f"POST /orders, {CLIENTS} clients",
        statistics.median(posts),
        compare(reads, posts),
        least=2,
        aim=4,
        turns={"GET status": reads, "POST /orders": posts},
    )


def _figure(load: Load, rates: list[float], theirs: list[float]) -> Figure:
    return Figure(
        f"POST /orders, {load.name}",
        statistics.median(rates),
        "/s",
        "pgbench",
        statistics.median(theirs),
        compare(rates, theirs),
        least=load.least,
        aim=load.aim,
        turns={"POST /orders": rates, "pgbench": theirs},
    )
