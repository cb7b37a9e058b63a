"""The variables of this service; see `.env.example` for what they mean."""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar

from pydantic import Field

from contracts.subscriptions import PROCESSOR
from servicekit.settings import BrokerUser, Port, ServiceSettings
from servicekit.urls import PostgresUrl, RedisUrl

DATABASE_VARIABLE = "DATABASE_URL_ORDERS"
OWNER_VARIABLE = "DATABASE_OWNER_URL_ORDERS"


class Settings(ServiceSettings):
    """Read once, at start."""

    owned_prefixes: ClassVar[tuple[str, ...]] = (
        "ORDERS_",
        "BOOKING_",
        "DATABASE_URL_",
        "DATABASE_OWNER_URL_",
        "RABBITMQ_USER_",
    )
    foreign_variables: ClassVar[frozenset[str]] = frozenset(
        {"DATABASE_URL_PROCESSOR", "DATABASE_OWNER_URL_PROCESSOR", "RABBITMQ_USER_ORDERS"}
    )

    database_url: PostgresUrl = Field(validation_alias=DATABASE_VARIABLE)
    database_owner_url: PostgresUrl | None = Field(None, validation_alias=OWNER_VARIABLE)
    """For the role that owns the tables, where that is another one."""
    redis_url: RedisUrl | None = None
    rabbitmq_user_processor: BrokerUser | None = Field(None, examples=["processor"])
    orders_port: Port = 8000
    orders_worker_port: Port = 8010
    booking_max_days_ahead: int = Field(730, ge=1, le=36500)

    @property
    def booking_limit(self) -> timedelta:
        """How far ahead a booking may lie."""
        return timedelta(days=self.booking_max_days_ahead)

    @property
    def senders(self) -> dict[str, set[str]]:
        """Which broker users may speak for service-processor; empty where nobody can tell.

        Logged in as deployed, `orders`, the other is too, unless it is said otherwise.
        """
        deployed = "processor" if self.rabbitmq_url.user == "orders" else None
        user = self.rabbitmq_user_processor or deployed
        return {PROCESSOR.source: {user}} if user else {}
