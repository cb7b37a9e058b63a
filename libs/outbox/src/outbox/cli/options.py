"""Options that several commands share, so that each has one spelling and one help text."""

from __future__ import annotations

from typing import Annotated

import typer

DatabaseUrl = Annotated[
    str,
    typer.Option(
        "--database-url",
        envvar="DATABASE_URL",
        metavar="URL",
        help="postgresql://user:password@host:port/database",
        show_default=False,
    ),
]
ProducerUrl = Annotated[
    str,
    typer.Option(
        "--producer-url",
        envvar="DATABASE_URL",
        metavar="URL",
        help="The database with the outbox.",
        show_default=False,
    ),
]
ConsumerUrl = Annotated[
    str,
    typer.Option(
        "--consumer-url",
        envvar="CONSUMER_DATABASE_URL",
        metavar="URL",
        help="The database with the inbox.",
        show_default=False,
    ),
]
BrokerUrl = Annotated[
    str | None,
    typer.Option(
        "--broker-url",
        envvar="RABBITMQ_URL",
        metavar="URL",
        help="amqp://user:password@host:port/vhost",
        show_default=False,
    ),
]
ManagementUrl = Annotated[
    str | None,
    typer.Option(
        "--management-url",
        envvar="RABBITMQ_MANAGEMENT_URL",
        metavar="URL",
        help="http://user:password@host:15672, for what AMQP does not say.",
        show_default=False,
    ),
]
Application = Annotated[
    str | None,
    typer.Option(
        "--app",
        envvar="OUTBOX_APP",
        metavar="MODULE:NAME",
        help="The application's outbox.Application or Topology, or a function that returns one.",
        show_default=False,
    ),
]
Limit = Annotated[int, typer.Option("--limit", min=1, max=10_000)]
After = Annotated[
    str | None, typer.Option(metavar="PAGE", help="The next page, as the one before names it.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
Note = Annotated[str, typer.Option("--note", help="Why; kept in the history.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]
Consumer = Annotated[
    str | None,
    typer.Option("--consumer", metavar="QUEUE", help="Only this consumer, named like its queue."),
]
ConsumerName = Annotated[
    str, typer.Argument(metavar="CONSUMER", help="The consumer, named like its queue.")
]
AggregateTypes = Annotated[
    list[str] | None,
    typer.Option("--aggregate-type", help="Only events of this aggregate type; repeatable."),
]
