"""The environment variables of this service; `.env.example` explains them."""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar

from pydantic import Field, SecretStr, ValidationInfo, field_validator

from contracts.exchanges import PROCESSOR
from servicekit.process.settings import (
    AppEnv,
    BaseUrl,
    BrokerUser,
    Port,
    ServiceSettings,
)
from servicekit.process.startup_errors import BadSettings
from servicekit.process.urls import PostgresUrl, RedisUrl
from servicekit.service.bootstrap import ServiceDatabase

DATABASE_VARIABLE = "DATABASE_URL_ORDERS"
OWNER_VARIABLE = "DATABASE_OWNER_URL_ORDERS"
DEVELOPMENT_KEY = "signs-offers-in-development-and-nowhere-else-dev-only"
SHORTEST_KEY = 32
"""Bytes (RFC 7518, section 3.2)."""

OWN_KEY = "give-me-32-random-bytes-of-your-own"


class Settings(ServiceSettings):
    """All settings, read once at the start."""

    owned_prefixes: ClassVar[tuple[str, ...]] = (
        "ORDERS_",
        "BOOKING_",
        "OFFER_",
        "RENTAL_",
        "EXTERNAL_",
        "DATABASE_URL_",
        "DATABASE_OWNER_URL_",
        "RABBITMQ_USER_",
        "REDIS_URL",
    )
    foreign_variables: ClassVar[frozenset[str]] = frozenset(
        {"DATABASE_URL_PROCESSOR", "DATABASE_OWNER_URL_PROCESSOR", "RABBITMQ_USER_ORDERS"}
    )

    database_url: PostgresUrl = Field(validation_alias=DATABASE_VARIABLE)
    database_owner_url: PostgresUrl | None = Field(None, validation_alias=OWNER_VARIABLE)
    """The login of the role that owns the tables, if it is another role."""
    redis_url: RedisUrl | None = None
    rabbitmq_user_processor: BrokerUser | None = Field(None, examples=["processor"])
    orders_port: Port = 8000
    orders_worker_port: Port = 8010
    booking_max_days_ahead: int = Field(730, ge=1, le=36500)

    external_base_url: BaseUrl = "http://127.0.0.1:3629"
    offer_signing_key: SecretStr | None = Field(None, examples=[OWN_KEY])
    offer_signing_keys: SecretStr | None = Field(None, examples=[OWN_KEY])
    """Several keys with commas between them, the newest first; used instead of the single one."""
    offer_ttl_seconds: int = Field(300, ge=1, le=86_400)
    rental_retention_days: int = Field(30, ge=1, le=3650)

    @property
    def signing_keys(self) -> tuple[str, ...]:
        """The newest key first. Outside development there is none unless it is set."""
        if self.offer_signing_keys:
            return _several(self.offer_signing_keys)
        if self.offer_signing_key:
            return (self.offer_signing_key.get_secret_value(),)
        return (DEVELOPMENT_KEY,) if self.app_env is AppEnv.DEVELOPMENT else ()

    @property
    def offer_ttl(self) -> timedelta:
        """How long an offer is valid."""
        return timedelta(seconds=self.offer_ttl_seconds)

    @field_validator("offer_signing_key", "offer_signing_keys")
    @classmethod
    def _long_enough(cls, given: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if given is not None:
            several = info.field_name == "offer_signing_keys"
            keys = _several(given) if several else (given.get_secret_value(),)
            if any(len(key.encode()) < SHORTEST_KEY for key in keys):
                raise ValueError(f"has to have at least {SHORTEST_KEY} bytes for each key")
        return given

    def refuse_in_production(self) -> None:
        """Refuse to start without a signing key."""
        if not self.signing_keys:
            raise BadSettings(
                "OFFER_SIGNING_KEY is not set: APP_ENV=production has no default for it"
            )

    @property
    def booking_limit(self) -> timedelta:
        """How far ahead a booking may be."""
        return timedelta(days=self.booking_max_days_ahead)

    @property
    def database(self) -> ServiceDatabase:
        """Where the database is, and where its owner logs in."""
        return ServiceDatabase(
            self.database_url, DATABASE_VARIABLE, self.database_owner_url, OWNER_VARIABLE
        )

    @property
    def senders(self) -> dict[str, set[str]]:
        """The broker users that may publish for service-processor; empty if they are unknown.

        If this service has its deployed login `orders`, the other one probably has its own.
        """
        deployed = "processor" if self.rabbitmq_url.user == "orders" else None
        user = self.rabbitmq_user_processor or deployed
        return {PROCESSOR.source: {user}} if user else {}

    @property
    def answering(self) -> tuple[str, ...]:
        """The other service."""
        return (PROCESSOR.source,)


def _several(keys: SecretStr) -> tuple[str, ...]:
    return tuple(key.strip() for key in keys.get_secret_value().split(","))
