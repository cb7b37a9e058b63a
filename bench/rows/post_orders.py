"""POST /orders of one API process, against pgbench running a like transaction.

The transaction that it compares with: BEGIN, the insert of an order, of its three lines, of its
history, of its stream's counter and of its event, COMMIT; seven statements, 16 clients.
"""

from __future__ import annotations

import asyncio
import json
import re
import statistics
import subprocess
from pathlib import Path

from bench.figures import Bench, Figure, compare
from bench.load import post, requests_per_second
from devstack.native.postgres import binaries
from devstack.native.system import CHECKOUT, Layout, System

SECONDS, CLIENTS = 5, 16
ORDER = {
    "user_id": "user_1",
    "products": [{"product_id": f"product_{n}", "quantity": n + 1} for n in range(3)],
    "amount": "140.00",
}
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


async def run(bench: Bench) -> list[Figure]:
    """A system with services of its own, beside which the bench's own stack stands idle."""
    ours: list[float] = []
    theirs: list[float] = []
    layout = Layout(CHECKOUT, bench.stack.home / "system")
    with System(layout) as system:
        for worker in ("orders-worker", "processor-worker", "processor-api"):
            system.stop_process(worker)
        request = post("/api/v1/orders", json.dumps(ORDER).encode())
        url = system.urls["orders"]
        for turn in bench.turns:
            rate, latency = await requests_per_second(
                url, request, connections=CLIENTS, seconds=SECONDS
            )
            ours.append(rate)
            theirs.append(await asyncio.to_thread(pgbench, system, bench.stack.home))
            bench.note(
                f"turn {turn + 1}: POST /orders {rate:,.0f}/s ({latency:.1f} ms mean), "
                f"pgbench {theirs[-1]:,.0f}/s"
            )
    return [
        Figure(
            "POST /orders / like transaction",
            statistics.median(ours),
            "/s",
            "pgbench",
            statistics.median(theirs),
            compare(ours, theirs),
            turns={"POST /orders": ours, "pgbench": theirs},
        )
    ]
