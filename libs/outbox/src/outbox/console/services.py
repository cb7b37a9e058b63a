"""What the console knows of a service that it shows."""

from __future__ import annotations

import re
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

from outbox.addresses import Broker, BrokerAddress, Database, DatabaseAddress
from outbox.errors import InvalidSetting
from outbox.operations.operator import Actor, Operator, open_operator
from outbox.worker import Application

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


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

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise InvalidSetting("service", "has a name of a-z, 0-9, - and _, up to 63 characters")
        object.__setattr__(self, "database_url", DatabaseAddress.of(self.database_url))
        if self.broker_url is not None:
            object.__setattr__(self, "broker_url", BrokerAddress.of(self.broker_url))

    def operator(self, by: Actor) -> AbstractAsyncContextManager[Operator]:
        """What somebody can ask of the service and change in it."""
        return open_operator(
            self.database_url,
            by=by,
            broker_url=self.broker_url,
            management_url=self.management_url,
            application=self.application,
        )
