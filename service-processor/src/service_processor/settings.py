"""The environment variables of this service; `.env.example` explains them."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar, Self

from pydantic import Field, model_validator

from contracts.exchanges import ORDERS
from servicekit.http.local_time import ZoneName
from servicekit.process.settings import (
    BaseUrl,
    BrokerUser,
    Port,
    Probability,
    Seconds,
    ServiceSettings,
)
from servicekit.process.urls import PostgresUrl
from servicekit.service.bootstrap import ServiceDatabase

DATABASE_VARIABLE = "DATABASE_URL_PROCESSOR"
OWNER_VARIABLE = "DATABASE_OWNER_URL_PROCESSOR"

Hours = Annotated[float, Field(gt=0, le=87_600, allow_inf_nan=False)]


class Policy(StrEnum):
    """How orders are fulfilled."""

    SIMULATED = "simulated"
    INVENTORY = "inventory"


class Settings(ServiceSettings):
    """All settings, read once at the start."""

    owned_prefixes: ClassVar[tuple[str, ...]] = (
        "PROCESSOR_",
        "PROCESSING_",
        "FULFILMENT_",
        "DEFAULT_TIMEZONE",
        "TICKET_",
        "EXTERNAL_",
        "DATABASE_URL_",
        "DATABASE_OWNER_URL_",
        "RABBITMQ_USER_",
    )
    foreign_variables: ClassVar[frozenset[str]] = frozenset(
        {"DATABASE_URL_ORDERS", "DATABASE_OWNER_URL_ORDERS", "RABBITMQ_USER_PROCESSOR"}
    )

    database_url: PostgresUrl = Field(validation_alias=DATABASE_VARIABLE)
    database_owner_url: PostgresUrl | None = Field(None, validation_alias=OWNER_VARIABLE)
    """The login of the role that owns the tables, if it is another role."""
    rabbitmq_user_orders: BrokerUser | None = Field(None, examples=["orders"])
    processor_port: Port = 8001
    processor_worker_port: Port = 8011
    fulfilment_policy: Policy = Policy.SIMULATED
    processing_success_rate: Probability = 0.8
    processing_delay_min: Seconds = Field(0.0, examples=["1 PROCESSING_DELAY_MAX=5"])
    processing_delay_max: Seconds = Field(0.0, examples=[5])
    ticket_auto_close_hours: Hours = 72.0
    external_base_url: BaseUrl = "http://127.0.0.1:3629"
    default_timezone: ZoneName = Field("UTC", examples=["Europe/Berlin"])

    @model_validator(mode="after")
    def _delays_are_a_range(self) -> Self:
        if self.processing_delay_min > self.processing_delay_max:
            raise ValueError(
                f"PROCESSING_DELAY_MIN={self.processing_delay_min:g} is above"
                f" PROCESSING_DELAY_MAX={self.processing_delay_max:g}; set both"
            )
        return self

    @property
    def database(self) -> ServiceDatabase:
        """Where the database is, and where its owner logs in."""
        return ServiceDatabase(
            self.database_url, DATABASE_VARIABLE, self.database_owner_url, OWNER_VARIABLE
        )

    @property
    def senders(self) -> dict[str, set[str]]:
        """The broker users that may publish for service-orders; empty if they are unknown.

        If this service has its deployed login `processor`, the other one probably has its own.
        """
        deployed = "orders" if self.rabbitmq_url.user == "processor" else None
        user = self.rabbitmq_user_orders or deployed
        return {ORDERS.source: {user}} if user else {}

    @property
    def answering(self) -> tuple[str, ...]:
        """The other service."""
        return (ORDERS.source,)
