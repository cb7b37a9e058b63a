"""`python -m service_orders ROLE`: one process of this service."""

from __future__ import annotations

import typer

from service_orders import NAME, bootstrap
from servicekit.process import run

app = typer.Typer(no_args_is_help=True, add_completion=False, help="One process of service-orders.")


@app.command()
def api() -> None:
    """Answer HTTP requests (ORDERS_PORT)."""
    run(NAME, bootstrap.api)


@app.command()
def worker() -> None:
    """Relay, consume and maintain; health and metrics on ORDERS_WORKER_PORT."""
    run(NAME, lambda: bootstrap.work("relay", "consumer", "maintenance"))


@app.command()
def relay() -> None:
    """Only publish the outbox; any number may run."""
    run(NAME, lambda: bootstrap.work("relay"))


@app.command()
def consumer() -> None:
    """Only consume; any number may run."""
    run(NAME, lambda: bootstrap.work("consumer"))


@app.command()
def maintenance() -> None:
    """Only look after the partitions of the outbox."""
    run(NAME, lambda: bootstrap.work("maintenance"))


@app.command()
def migrate() -> None:
    """Bring the database's schema to head; harmless when it is there already."""
    run(NAME, bootstrap.migrate)


if __name__ == "__main__":
    app(prog_name="python -m service_orders")
