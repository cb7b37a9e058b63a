"""Two databases and a broker as an operator meets them: a producer's and a consumer's."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from typer.testing import CliRunner

from kit.outbox.world import World, open_world
from kit.servers import addresses
from outbox import Envelope, UnitOfWork
from outbox.cli.commands import app


def management_url() -> str:
    return addresses.rabbitmq_management()


@dataclass(frozen=True)
class Said:
    """What a command printed, and its exit status."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


async def say(
    environment: Mapping[str, str], *words: str, answer: str | None = None, status: int = 0
) -> Said:
    """Run a command, as a person would."""
    run = await asyncio.to_thread(
        CliRunner().invoke, app, words, input=answer, env=environment, catch_exceptions=False
    )
    assert run.exit_code == status, run.output
    return Said(run.exit_code, run.stdout, run.stderr)


@dataclass
class Pair:
    """A producer and a consumer, each with a database of its own."""

    producer: World
    consumer: World

    async def say(self, *words: str, answer: str | None = None, status: int = 0) -> Said:
        """Run a command against the producer's database, as a person would."""
        environment = {
            "DATABASE_URL": self.producer.database_url,
            "CONSUMER_DATABASE_URL": self.consumer.database_url,
            "RABBITMQ_URL": self.producer.broker_url,
            "RABBITMQ_MANAGEMENT_URL": management_url(),
        }
        return await say(environment, *words, answer=answer, status=status)

    async def at_consumer(self, *words: str, answer: str | None = None, status: int = 0) -> Said:
        url = self.consumer.database_url
        return await self.say(*words, "--database-url", url, answer=answer, status=status)


@asynccontextmanager
async def open_pair(broker_url: str) -> AsyncIterator[Pair]:
    admin = addresses.postgres()
    async with open_world(admin, broker_url) as producer, open_world(admin, broker_url) as consumer:
        yield Pair(producer, consumer)


async def record(unit: UnitOfWork, event: Envelope) -> None:
    await unit.connection.exec_driver_sql(
        "INSERT INTO effects (aggregate_id, sequence) VALUES (%s, %s)",
        (event.stream.aggregate_id, event.sequence),
    )


async def effects(world: World) -> dict[object, list[object]]:
    """Sequences by aggregate, in the order of their effects."""
    found: dict[object, list[object]] = {}
    for aggregate, sequence in await world.rows(
        "SELECT aggregate_id, sequence FROM effects ORDER BY id"
    ):
        found.setdefault(aggregate, []).append(sequence)
    return found
