"""Every command under its name."""

from __future__ import annotations

from typing import Annotated

import typer

from outbox.cli import (
    baseline,
    console,
    controls,
    doctor,
    history,
    jobs,
    journey,
    lanes,
    parked,
    partitions,
    queues,
    reconcile,
    replay,
    scheduled,
    schema,
    status,
    tripped,
    unpublished,
)

HELP = """Look after an outbox and an inbox. Give the database as --database-url or DATABASE_URL,
the broker as --broker-url or RABBITMQ_URL.

Exit status: 0 all is well, 1 something needs a person, 2 wrong usage or an unreachable server,
3 the question was answered with no."""

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_show_locals=False)


@app.callback(help=HELP)
def main(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            is_eager=True,
            callback=schema.print_version,
            help="Print the library's version and exit.",
        ),
    ] = False,
) -> None:
    del version


app.command("status")(status.status)
app.command("lanes")(lanes.lanes)
app.command("pause")(controls.pause)
app.command("resume")(controls.resume)
app.command("throttle")(controls.throttle)
app.command("partitions")(partitions.partitions)
app.command("history")(history.history)
app.command("journey")(journey.journey)
app.command("schema")(schema.schema)
app.command("doctor")(doctor.doctor)
app.command("console")(console.console)
app.add_typer(parked.app, name="parked")
app.add_typer(tripped.app, name="tripped")
app.add_typer(unpublished.app, name="unpublished")
app.add_typer(scheduled.app, name="scheduled")
app.add_typer(jobs.app, name="jobs")
app.add_typer(queues.app, name="queues")
app.command("replay")(replay.replay)
app.command("reconcile")(reconcile.reconcile)
app.command("baseline")(baseline.baseline)
