"""The variables of this service; see `.env.example` for what they mean."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

from pydantic import Field

from servicekit.settings import Port, Probability, ServiceSettings
from servicekit.urls import PostgresUrl

DATABASE_VARIABLE = "DATABASE_URL_PROCESSOR"


class Policy(StrEnum):
    """How orders are fulfilled."""

    SIMULATED = "simulated"


class Settings(ServiceSettings):
    """Read once, at start."""

    owned_prefixes: ClassVar[tuple[str, ...]] = (
        "PROCESSOR_",
        "PROCESSING_",
        "FULFILMENT_",
        "DATABASE_URL_",
    )
    foreign_variables: ClassVar[frozenset[str]] = frozenset({"DATABASE_URL_ORDERS"})

    database_url: PostgresUrl = Field(validation_alias=DATABASE_VARIABLE)
    processor_port: Port = 8001
    processor_worker_port: Port = 8011
    fulfilment_policy: Policy = Policy.SIMULATED
    processing_success_rate: Probability = 0.8
