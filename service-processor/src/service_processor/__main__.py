"""`python -m service_processor ROLE`: one process of this service."""

from __future__ import annotations

from typing import Annotated

import typer

from outbox import OutboxError
from service_processor import NAME, bootstrap
from service_processor.audit.replay import offset_of
from servicekit.process.entrypoint import run
from servicekit.service.bootstrap import Role

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="One process of service-processor."
)


@app.command()
def api() -> None:
    """Answer HTTP requests (PROCESSOR_PORT)."""
    run(NAME, bootstrap.api)


@app.command()
def worker() -> None:
    """Relay, consume, work on jobs, maintain, audit; health on PROCESSOR_WORKER_PORT."""
    _work(Role.RELAY, Role.CONSUMER, Role.JOBS, Role.MAINTENANCE, Role.AUDIT)


@app.command()
def relay() -> None:
    """Only publish the outbox; any number may run."""
    _work(Role.RELAY)


@app.command()
def consumer() -> None:
    """Only consume; any number may run."""
    _work(Role.CONSUMER)


@app.command()
def jobs() -> None:
    """Only make the calls to external systems; any number may run."""
    _work(Role.JOBS)


@app.command()
def maintenance() -> None:
    """Only look after the partitions of the outbox."""
    _work(Role.MAINTENANCE)


@app.command()
def audit() -> None:
    """Only log every event of the audit stream; of several one works, the others stand by."""
    _work(Role.AUDIT)


@app.command()
def replay_audit(
    begin: Annotated[
        str,
        typer.Option("--from", help="first, an offset, or a time such as 2026-11-21T06:00:00Z."),
    ] = "first",
) -> None:
    """Print the audit's line of every event from some point on to the end of the stream."""
    run(NAME, lambda: bootstrap.replay_audit(offset_of(begin)), refusals=(OutboxError,))


@app.command()
def seed(
    unless_production: Annotated[
        bool, typer.Option("--unless-production", help="Do nothing there, instead of refusing.")
    ] = False,
) -> None:
    """Put in five demo restaurants; harmless when they are there already."""
    run(NAME, lambda: bootstrap.seed(unless_production=unless_production))


@app.command()
def republish_restaurants() -> None:
    """Emit all restaurants and tables again, for a copy that is rebuilt."""
    run(NAME, bootstrap.republish_restaurants)


@app.command()
def migrate() -> None:
    """Bring the database's schema to head; harmless when it is there already."""
    run(NAME, bootstrap.migrate)


def _work(*roles: Role) -> None:
    run(NAME, lambda: bootstrap.work(*roles), refusals=(OutboxError,))


if __name__ == "__main__":
    app(prog_name="python -m service_processor")
