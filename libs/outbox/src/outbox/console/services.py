"""What the console knows of a service that it shows."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from outbox.addresses import Broker, BrokerAddress, Database, DatabaseAddress
from outbox.errors import InvalidSetting, OutboxError
from outbox.operations.operator import Actor, Operator, open_operator
from outbox.operations.slots import one_of
from outbox.worker import Application

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


AT_ONCE = 4
"""Connections to a service's database for pages, and as many for changes."""
PATIENCE = 10.0
"""Seconds that a page waits for one of them."""
LONGEST_STATEMENT = 60
"""Seconds after which PostgreSQL cancels a statement of a page."""


class ServiceBusy(OutboxError):
    """Others look at this service, and a page has waited long enough."""

    def __init__(self) -> None:
        super().__init__("Too many look at this service at once. Try again in a moment.")


@dataclass(frozen=True, slots=True)
class ConsoleService:
    """A service's database and, if known, its broker, management API and application.

    `name` stands in addresses of pages: small letters, digits, `-` and `_`. Raises
    `InvalidSetting`.
    """

    name: str
    database_url: Database
    broker_url: Broker | None = None
    management_url: str | None = field(default=None, repr=False)
    application: Application | None = None
    _reading: asyncio.Semaphore = field(
        default_factory=lambda: asyncio.Semaphore(AT_ONCE), init=False, repr=False, compare=False
    )
    _changing: asyncio.Semaphore = field(
        default_factory=lambda: asyncio.Semaphore(AT_ONCE), init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise InvalidSetting("service", "has a name of a-z, 0-9, - and _, up to 63 characters")
        object.__setattr__(self, "database_url", DatabaseAddress.of(self.database_url))
        if self.broker_url is not None:
            object.__setattr__(self, "broker_url", BrokerAddress.of(self.broker_url))

    @asynccontextmanager
    async def operator(self, by: Actor, *, to_change: bool = False) -> AsyncIterator[Operator]:
        """What somebody can ask of the service and change in it. Raises `ServiceBusy`.

        Who looks and who changes have so many connections each, however many pages are open.
        """
        async with (
            one_of(
                self._changing if to_change else self._reading,
                within=PATIENCE,
                otherwise=ServiceBusy(),
            ),
            open_operator(
                self.database_url,
                by=by,
                broker_url=self.broker_url,
                management_url=self.management_url,
                application=self.application,
                statement_timeout=0 if to_change else LONGEST_STATEMENT,
            ) as operator,
        ):
            yield operator
