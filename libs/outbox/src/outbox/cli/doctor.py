"""`outbox doctor`: what is wrong with the database and the broker, each with its fix."""

from __future__ import annotations

import typer

from outbox.cli.options import Application, BrokerUrl, DatabaseUrl, Json, ManagementUrl
from outbox.cli.output import emit, say, table
from outbox.cli.running import FOUND, operate
from outbox.operations.doctor import Level
from outbox.plural import counted


def doctor(
    *,
    database_url: DatabaseUrl,
    broker_url: BrokerUrl = None,
    app: Application = None,
    management_url: ManagementUrl = None,
    as_json: Json = False,
) -> None:
    """Check tables, indexes, partitions, relays, parked events, handlers, clocks and queues."""
    found = operate(
        database_url,
        lambda operator: operator.doctor(),
        broker_url=broker_url,
        management_url=management_url,
        app=app,
    )
    errors = [finding for finding in found if finding.level is Level.ERROR]
    if as_json:
        emit({"healthy": not errors, "findings": found})
    else:
        rows = ((f.level.value, f.check, f.says, f.fix) for f in found)
        table("doctor", ("", "check", "says", "fix"), rows)
        say(counted(len(errors), "error") if errors else "no errors")
    if errors:
        raise typer.Exit(FOUND)
