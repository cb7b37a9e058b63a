"""A service for its tests: requests go in by HTTP, events by the inbox, and come out by the outbox.

There is a database and neither a server nor a broker:

    order = (await service.http.post("/api/v1/orders", json=body)).json()
    [created] = await service.emitted(OrderCreated)
    await service.receive(OrderProcessed(order_id=created.order_id, outcome="COMPLETED", …))
    assert await service.listed("/api/v1/orders", status="COMPLETED")
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any, TypeVar

import httpx

from contracts import SUBSCRIPTIONS, Contract
from outbox import Envelope, HandlersByType, Work, testing
from outbox.inbox.operations import ParkedEvent
from servicekit.process.urls import PostgresUrl

E = TypeVar("E", bound=Contract)


@dataclass(frozen=True)
class Service:
    """One service, with the handlers of each queue that it consumes."""

    http: httpx.AsyncClient
    work: Work
    url: PostgresUrl
    queues: Mapping[str, HandlersByType]
    _sources: dict[str, testing.Source] = field(default_factory=dict)

    def with_handlers(self, queue: str, handlers: HandlersByType) -> Service:
        """The same service, in which other handlers consume this queue."""
        return replace(self, queues={**self.queues, queue: handlers})

    async def receive(self, *events: Contract) -> list[Envelope]:
        """Handle the next events of their streams, all of which must take effect."""
        envelopes = self.envelopes(*events)
        parked = await self.deliver(*envelopes)
        assert parked == [], parked
        return envelopes

    def envelopes(self, *events: Contract) -> list[Envelope]:
        """The next events of their streams, numbered and not delivered yet."""
        return [envelope for event in events for envelope in self._source(event).envelopes(event)]

    async def deliver(self, *envelopes: Envelope) -> list[ParkedEvent]:
        """Handle them as the queues' consumers do, in batches; returns what is parked then."""
        parked: dict[str, list[ParkedEvent]] = {}
        for queue, batch in groupby(envelopes, self._queue_of):
            parked[queue] = await testing.deliver(self.work, queue, self.queues[queue], *batch)
        return [event for events in parked.values() for event in events]

    async def events(self) -> list[Envelope]:
        """All events of the outbox table, in order."""
        return await testing.emitted(self.work)

    async def emitted(self, kind: type[E]) -> list[E]:
        """Those of one class, in order."""
        return await testing.emitted(self.work, kind)

    async def listed(self, path: str, **query: Any) -> list[dict[str, Any]]:
        """The items of all pages of a list, in order."""
        items: list[dict[str, Any]] = []
        while True:
            answer = await self.http.get(path, params=query)
            assert answer.status_code == 200, answer.text
            items += answer.json()["items"]
            query["cursor"] = answer.json().get("next_cursor")
            if query["cursor"] is None:
                return items

    def _source(self, event: Contract) -> testing.Source:
        return self._sources.setdefault(event.source, testing.Source(event.source))

    def _queue_of(self, envelope: Envelope) -> str:
        stream = envelope.stream
        return next(
            one.queue
            for one in SUBSCRIPTIONS
            if one.source == stream.source
            and stream.aggregate_type in one.aggregate_types
            and one.queue in self.queues
        )
