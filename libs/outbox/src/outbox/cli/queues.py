"""`outbox queues`: what the broker knows of them, dead letters, and arguments to be changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from outbox.cli.options import Application, DatabaseUrl, Json, ManagementUrl, Note, Yes
from outbox.cli.output import emit, say, table, warn
from outbox.cli.running import confirm, operate, run, topology_of
from outbox.operations.operator.queues import QueueView
from outbox.operations.queue_migration import Migrated
from outbox.operations.queue_migration import migrate as migrate_queue
from outbox.plural import counted

app = typer.Typer(no_args_is_help=True, help="Queues, as the broker sees them.")

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
RecordUrl = Annotated[
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


Queue = Annotated[str, typer.Argument(metavar="QUEUE")]


@app.command("list")
def list_(
    *,
    database_url: DatabaseUrl,
    broker_url: BrokerUrl,
    management_url: ManagementUrl = None,
    app: Application = None,
    as_json: Json = False,
) -> None:
    """List the queues that the database consumes, and those of the application.

    Without the management API no more is known than ready messages, consumers and dead letters.
    """
    found = operate(
        database_url,
        lambda operator: operator.queues(),
        broker_url=broker_url,
        management_url=management_url,
        app=app,
    )
    if as_json:
        emit(found)
    else:
        _show(found)


@app.command()
def move_dead_letters(
    queue: Queue,
    *,
    database_url: DatabaseUrl,
    broker_url: BrokerUrl,
    note: Note = "",
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Move the dead letters of QUEUE back into it. What is still refused comes back.

    A message that names its user moves as that user, or as one with the tag impersonator.
    """
    seen = operate(
        database_url,
        lambda operator: operator.broker.preview_dead_letters(queue),
        broker_url=broker_url,
    )
    letters, moved = counted(seen.events, "dead letter"), 0
    if seen.events:
        confirm(f"Move {letters} to the end of {queue}, where {seen.followers} wait?", yes=yes)
        moved = operate(
            database_url,
            lambda operator: operator.broker.move_dead_letters(
                queue, seen=None if yes else seen, note=note
            ),
            broker_url=broker_url,
        )
    if as_json:
        emit({"selected": seen, "moved": moved})
    else:
        say(f"{counted(moved, 'dead letter is', 'dead letters are')} back in {queue}")


@app.command()
def migrate(
    queue: Queue,
    *,
    broker_url: BrokerUrl,
    app: App,
    database_url: RecordUrl = None,
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


def _show(found: Sequence[QueueView]) -> None:
    columns = ("queue", "type", "is", "ready", "unacked", "consumers", "dead letters", "differs")
    rows = (
        (q.queue, q.type, q.state, q.ready, q.unacked, q.consumers, q.dead, "; ".join(q.differs))
        for q in found
    )
    table("queues", columns, rows)
    say(counted(len(found), "queue"))


def _sentence(done: Migrated) -> str:
    if not done.was_needed:
        return f"{done.queue} is as declared; there is nothing to do"
    moved = counted(done.back, "message is", "messages are")
    return f"{done.queue} is as declared now; {moved} back in it"
