"""Alarms that a test waits for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from kit.servers.prometheus_server import Addresses, PrometheusServer
from kit.waiting import eventually


@dataclass(frozen=True)
class Alarms:
    """What fires on this Prometheus."""

    prometheus: PrometheusServer
    own: Addresses
    """The targets that are always asked, by the list `services`."""

    @asynccontextmanager
    async def fired_by(self, name: str, **labels: str) -> AsyncIterator[None]:
        """The alarm is silent before the block, and fires because of what is done in it."""
        await eventually(lambda: self.is_silent(name, **labels), within=20)
        yield
        await eventually(lambda: self.fires(name, **labels), within=30)

    async def fires(self, name: str, **labels: str) -> bool:
        found = [one for one in self.prometheus.firing() if one.name == name]
        assert all("<no value>" not in one.summary for one in found)
        return any(labels.items() <= one.labels.items() for one in found)

    async def is_silent(self, name: str, **labels: str) -> bool:
        return not await self.fires(name, **labels)

    async def has_read(self, expression: str) -> bool:
        """Whether Prometheus has a value for this."""
        return self.prometheus.query(expression) != []

    @asynccontextmanager
    async def asking(self, address: str, **labels: str) -> AsyncIterator[None]:
        """One more target for the length of the block."""
        more = {"targets": [address], "labels": labels}
        self.prometheus.ask("services", [*self.own, more])
        try:
            yield
        finally:
            self.prometheus.ask("services", self.own)
