"""`outbox baseline`: a new consumer begins now instead of at the first event of every stream."""

from __future__ import annotations

from outbox.cli.options import (
    AggregateTypes,
    ConsumerName,
    ConsumerUrl,
    DryRun,
    Json,
    ProducerUrl,
    Yes,
)
from outbox.cli.output import emit, say
from outbox.cli.running import confirm, operate
from outbox.event import Stream
from outbox.operations import Operator
from outbox.operations.database import open_database
from outbox.plural import counted


def baseline(
    *,
    consumer: ConsumerName,
    producer_url: ProducerUrl,
    consumer_url: ConsumerUrl,
    aggregate_type: AggregateTypes = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Let a new consumer begin with the next event of each stream, not with the first.

    Bind its queue before. Streams in which it has applied an event are left alone.
    """

    async def sequences(operator: Operator) -> dict[Stream, int]:
        async with open_database(producer_url) as producer:
            return await operator.streams.beginnings(
                consumer, producer, aggregate_types=aggregate_type
            )

    found = operate(consumer_url, sequences)
    changed = 0
    if found and not dry_run:
        confirm(f"Skip the past of {counted(len(found), 'stream')} for {consumer}?", yes=yes)
        changed = operate(consumer_url, lambda operator: operator.streams.begin_at(consumer, found))
    if as_json:
        emit({"streams": len(found), "changed": changed})
    else:
        say(f"{counted(len(found), 'stream')}, {changed} changed")
