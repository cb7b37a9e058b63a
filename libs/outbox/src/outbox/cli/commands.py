"""All commands by their names."""

from __future__ import annotations

from typing import Annotated

import typer

from outbox.cli import comparing, doctor, jobs, looking, mending, parked
from outbox.cli.schema import print_version, schema

HELP = """Look after outbox and inbox. Databases by --database-url or DATABASE_URL, the broker by
--broker-url or RABBITMQ_URL.

Exit status: 0 as it should be, 1 something needs a person, 2 wrong usage or unreachable, 3 the
question was answered with no."""

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_show_locals=False)


@app.callback(help=HELP)
def main(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            is_eager=True,
            callback=print_version,
            help="Print the library's version and end.",
        ),
    ] = False,
) -> None:
    del version


app.command("status")(looking.show_all)
app.command("lanes")(looking.lanes)
app.command("partitions")(looking.partitions)
app.command("explain")(looking.explain)
app.command("schema")(schema)
app.command("doctor")(doctor.doctor)
app.add_typer(parked.app, name="parked")
app.add_typer(jobs.app, name="jobs")
app.command("replay")(mending.replay)
app.command("discard")(mending.discard)
app.command("retry")(mending.retry)
app.command("reconcile")(comparing.reconcile)
app.command("baseline")(comparing.baseline)
