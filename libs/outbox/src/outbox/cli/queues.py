"""`outbox queues`: change what a broker never changes by itself."""

from __future__ import annotations

from typing import Annotated

import typer

from outbox.cli.options import Json
from outbox.cli.output import emit, say, warn
from outbox.cli.running import operate, run, topology_of
from outbox.operations.queue_migration import Migrated
from outbox.operations.queue_migration import migrate as migrate_queue
from outbox.plural import counted

app = typer.Typer(no_args_is_help=True, help="Change the arguments of queues.")

BrokerUrl = Annotated[
    str,
    typer.Option(
        "--broker-url",
        envvar="RABBITMQ_URL",
        metavar="URL",
        help="amqp://user:password@host:port/vhost",
        show_default=False,
    ),
]
DatabaseUrl = Annotated[
    str | None,
    typer.Option(
        "--database-url",
        envvar="DATABASE_URL",
        metavar="URL",
        help="The database in which it is written down who did this.",
        show_default=False,
    ),
]
App = Annotated[
    str,
    typer.Option(
        "--app",
        envvar="OUTBOX_APP",
        metavar="MODULE:NAME",
        help="The application's outbox.Application or Topology, or a function that returns one.",
        show_default=False,
    ),
]


@app.command()
def migrate(
    queue: Annotated[str, typer.Argument(metavar="QUEUE")],
    *,
    broker_url: BrokerUrl,
    app: App,
    database_url: DatabaseUrl = None,
    as_json: Json = False,
) -> None:
    """Give QUEUE the arguments that the application declares, and keep its messages.

    Stop the workers of the release before; producers may go on. Run it again after an interruption.
    """
    if database_url is None:
        done = run(migrate_queue(broker_url, topology_of(app), queue, say=warn))
    else:
        done = operate(
            database_url,
            lambda operator: operator.migrate_queue(queue, say=warn),
            broker_url=broker_url,
            app=app,
        )
    if as_json:
        emit(done)
    else:
        say(_sentence(done))


def _sentence(done: Migrated) -> str:
    if not done.was_needed:
        return f"{done.queue} is as declared; there is nothing to do"
    moved = counted(done.back, "message is", "messages are")
    return f"{done.queue} is as declared now; {moved} back in it"
