"""The relay under measurement, with its default settings."""

from __future__ import annotations

import os

from bench.environment import AUDITED, EXCHANGE, TOPOLOGY
from bench.processes.control_protocol import serve
from outbox import Relay


def main() -> None:
    relay = Relay(
        database_url=os.environ["BENCH_DATABASE_URL"],
        broker_url=os.environ["BENCH_BROKER_URL"],
        exchange=EXCHANGE,
        topology=AUDITED if os.environ.get("BENCH_AUDITED") else TOPOLOGY,
    )
    serve(relay.run, ready=lambda: relay.running, lanes=lambda: len(relay.lanes))


if __name__ == "__main__":
    main()
