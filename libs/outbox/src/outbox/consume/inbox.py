"""Each event once and in order, whatever the broker does.

Invariant: the row of a stream is locked before its events are looked at, and moves on in the
same transaction as their effects and the answers to them. A failed event stops its own stream
only: it is parked, what follows waits behind it, and both come up again in order.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

import psycopg
from sqlalchemy.ext.asyncio import AsyncConnection

from outbox import metrics
from outbox.consume import parked, positions
from outbox.consume.decide import Position, Verdict
from outbox.consume.retry import RetryPolicy, is_loss
from outbox.envelope import Envelope, Stream
from outbox.lifecycle import one_line
from outbox.write.work import UnitOfWork, Work

log = logging.getLogger(__name__)

Handler = Callable[[UnitOfWork, Envelope], Awaitable[None]]


@dataclass
class _Taking:
    """One transaction of the inbox: locked positions, and the units of work done under them."""

    connection: AsyncConnection
    raw: psycopg.AsyncConnection[object]
    positions: dict[Stream, Position]
    units: list[UnitOfWork] = field(default_factory=list)


class Inbox:
    """One consumer's streams. Give each delivery to `take`; when it returns, ack."""

    def __init__(
        self,
        consumer: str,
        handlers: Mapping[str, Handler],
        work: Work,
        retry: RetryPolicy | None = None,
    ) -> None:
        self.consumer = consumer
        self._handlers = handlers
        self._work = work
        self._retry = retry or RetryPolicy()

    async def take(self, envelopes: Sequence[Envelope]) -> None:
        """Let each event take effect exactly once, or park it; all of it is committed on return.

        Raises only when the database is lost; then nothing may be acked.
        """
        try:
            await self._take_together(envelopes, drain=True)
        except Exception as problem:
            if is_loss(problem):
                raise
            for envelope in envelopes:
                await self._take_singly(envelope)

    async def retry_due(self) -> int:
        """Try parked events whose time has come; returns for how many streams."""
        async with self._work.engine.begin() as connection:
            streams = await parked.due(await _raw(connection), self.consumer)
        for stream in streams:
            await self._drain_singly(stream)
        return len(streams)

    async def report(self) -> None:
        """Set the metrics that only the database knows."""
        async with self._work.engine.begin() as connection:
            counts = await parked.counts(await _raw(connection), self.consumer)
        for reason in {FAILED, *(verdict.value for verdict in Verdict if verdict.parks)}:
            metrics.PARKED.labels(self.consumer, reason).set(counts.get(reason, 0))

    async def _take_together(self, envelopes: Sequence[Envelope], *, drain: bool) -> None:
        async with self._work.engine.begin() as connection:
            raw = await _raw(connection)
            streams = {envelope.stream for envelope in envelopes}
            taking = _Taking(connection, raw, await positions.lock(raw, self.consumer, streams))
            verdicts = [await self._take_one(taking, envelope, drain) for envelope in envelopes]
            await positions.store(raw, self.consumer, taking.positions)
        self._work.committed(taking.units)
        for verdict in verdicts:
            metrics.CONSUMED.labels(self.consumer, verdict.value).inc()

    async def _take_one(self, taking: _Taking, envelope: Envelope, drain: bool) -> Verdict:
        position = taking.positions[envelope.stream]
        verdict = position.decide(envelope.sequence, envelope.id)
        if verdict is Verdict.APPLY:
            await self._apply(taking, envelope)
        elif verdict.parks and await parked.park(taking.raw, self.consumer, envelope, verdict):
            position.parked += 1
            log.warning("%s parks %s at %d: %s", *self._where(envelope), verdict)
        # After a duplicate as well: whoever applied it may have died before it came to the rest.
        while drain and not position.blocked and await self._drain_one(taking, envelope.stream):
            pass
        return verdict

    async def _apply(self, taking: _Taking, envelope: Envelope) -> None:
        """Unknown types advance the stream and do nothing else."""
        handler = self._handlers.get(envelope.type)
        if handler is not None:
            unit = self._work.within(taking.connection, envelope)
            await handler(unit, envelope)
            taking.units.append(unit)
        taking.positions[envelope.stream].advance(envelope.sequence, envelope.id)

    async def _drain_one(self, taking: _Taking, stream: Stream) -> bool:
        """Apply the parked event that is next in its stream, if there is one."""
        position = taking.positions[stream]
        if not position.parked:
            return False
        waiting = await parked.at(taking.raw, self.consumer, stream, position.last_sequence + 1)
        if waiting is None:
            return False
        await self._apply(taking, waiting.envelope)
        await parked.remove(taking.raw, self.consumer, waiting.envelope)
        position.parked -= 1
        position.blocked = False
        return True

    async def _take_singly(self, envelope: Envelope) -> None:
        """In a transaction of its own, so that a failure is known to be this event's."""
        try:
            await self._take_together([envelope], drain=False)
        except Exception as problem:
            if is_loss(problem):
                raise
            await self._park_failed(envelope, problem)
        else:
            await self._drain_singly(envelope.stream)

    async def _park_failed(self, envelope: Envelope, problem: Exception) -> None:
        log.warning("%s parks %s at %d: %r", *self._where(envelope), problem)
        async with self._work.engine.begin() as connection:
            raw = await _raw(connection)
            taking = _Taking(
                connection, raw, await positions.lock(raw, self.consumer, {envelope.stream})
            )
            position = taking.positions[envelope.stream]
            verdict = position.decide(envelope.sequence, envelope.id)
            if verdict is Verdict.APPLY:
                position.parked += await parked.park(raw, self.consumer, envelope, FAILED)
                position.blocked = True
                await self._note_attempt(raw, parked.ParkedEvent(envelope), problem)
            elif verdict.parks:
                position.parked += await parked.park(raw, self.consumer, envelope, verdict)
            await positions.store(raw, self.consumer, taking.positions)

    async def _drain_singly(self, stream: Stream) -> None:
        """Apply what waits next in a stream, one transaction each, up to the first that fails.

        An event that has failed before is left alone until its next attempt is due.
        """
        while True:
            waiting: parked.ParkedEvent | None = None
            try:
                async with self._work.engine.begin() as connection:
                    raw = await _raw(connection)
                    taking = _Taking(
                        connection, raw, await positions.lock(raw, self.consumer, {stream})
                    )
                    position = taking.positions[stream]
                    place = position.last_sequence + 1
                    waiting = await parked.at(raw, self.consumer, stream, place)
                    if waiting is None or (position.blocked and not waiting.due):
                        return
                    if not await self._drain_one(taking, stream):
                        return
                    await positions.store(raw, self.consumer, taking.positions)
                self._work.committed(taking.units)
            except Exception as problem:
                if is_loss(problem) or waiting is None:
                    raise
                await self._keep_waiting(waiting, problem)
                return

    async def _keep_waiting(self, waiting: parked.ParkedEvent, problem: Exception) -> None:
        stream = waiting.envelope.stream
        log.warning("%s retries %s at %d: %r", *self._where(waiting.envelope), problem)
        async with self._work.engine.begin() as connection:
            raw = await _raw(connection)
            locked = await positions.lock(raw, self.consumer, {stream})
            if locked[stream].last_sequence + 1 == waiting.envelope.sequence:
                locked[stream].blocked = True
                await self._note_attempt(raw, waiting, problem)
                await positions.store(raw, self.consumer, locked)

    async def _note_attempt(
        self,
        raw: psycopg.AsyncConnection[object],
        waiting: parked.ParkedEvent,
        problem: Exception,
    ) -> None:
        await parked.attempted(
            raw,
            self.consumer,
            waiting.envelope,
            error=f"{type(problem).__name__}: {one_line(problem)}",
            delay=self._retry.delay(waiting.attempts + 1),
        )

    def _where(self, envelope: Envelope) -> tuple[str, Stream, int]:
        return self.consumer, envelope.stream, envelope.sequence


FAILED = parked.FAILED


async def _raw(connection: AsyncConnection) -> psycopg.AsyncConnection[object]:
    """The psycopg connection beneath: the inbox's own statements take the short way."""
    fairy = await connection.get_raw_connection()
    return cast("psycopg.AsyncConnection[object]", fairy.driver_connection)
