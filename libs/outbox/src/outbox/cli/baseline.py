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
from outbox.cli.running import confirm, run
from outbox.event import Stream
from outbox.inbox.operations import InboxOperations
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
    found = run(_sequences(producer_url, consumer_url, consumer, aggregate_type))
    changed = 0
    if found and not dry_run:
        confirm(f"Skip the past of {counted(len(found), 'stream')} for {consumer}?", yes=yes)
        changed = run(_set(consumer_url, consumer, found))
    if as_json:
        emit({"streams": len(found), "changed": changed})
    else:
        say(f"{counted(len(found), 'stream')}, {changed} changed")


async def _sequences(
    producer_url: str, consumer_url: str, consumer: str, aggregate_types: list[str] | None
) -> dict[Stream, int]:
    async with (
        open_database(producer_url) as producer,
        open_database(consumer_url) as consuming,
    ):
        operations = InboxOperations(consuming, consumer)
        return await operations.baseline_sequences(producer, aggregate_types=aggregate_types)


async def _set(url: str, consumer: str, sequences: dict[Stream, int]) -> int:
    async with open_database(url) as connection:
        return await InboxOperations(connection, consumer).baseline(sequences, only_new=True)
