"""`python -m service_orders ROLE`: one process of this service."""

from __future__ import annotations

import typer

from outbox import OutboxError
from service_orders import NAME, bootstrap
from servicekit.process.entrypoint import run
from servicekit.service.bootstrap import Role

app = typer.Typer(no_args_is_help=True, add_completion=False, help="One process of service-orders.")


@app.command()
def api() -> None:
    """Answer HTTP requests (ORDERS_PORT)."""
    run(NAME, bootstrap.api)


@app.command()
def worker() -> None:
    """Relay, consume and maintain; health and metrics on ORDERS_WORKER_PORT."""
    _work(Role.RELAY, Role.CONSUMER, Role.MAINTENANCE)


@app.command()
def relay() -> None:
    """Only publish the outbox; any number may run."""
    _work(Role.RELAY)


@app.command()
def consumer() -> None:
    """Only consume; any number may run."""
    _work(Role.CONSUMER)


@app.command()
def maintenance() -> None:
    """Only look after the partitions of the outbox."""
    _work(Role.MAINTENANCE)


@app.command()
def migrate() -> None:
    """Bring the database's schema to head; harmless when it is there already."""
    run(NAME, bootstrap.migrate)


def _work(*roles: Role) -> None:
    run(NAME, lambda: bootstrap.work(*roles), refusals=(OutboxError,))


if __name__ == "__main__":
    app(prog_name="python -m service_orders")
