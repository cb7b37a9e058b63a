"""The variables of this service; see `.env.example` for what they mean."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from servicekit.settings import Port, ServiceSettings
from servicekit.urls import PostgresUrl

DATABASE_VARIABLE = "DATABASE_URL_ORDERS"


class Settings(ServiceSettings):
    """Read once, at start."""

    owned_prefixes: ClassVar[tuple[str, ...]] = ("ORDERS_", "DATABASE_URL_")
    foreign_variables: ClassVar[frozenset[str]] = frozenset({"DATABASE_URL_PROCESSOR"})

    database_url: PostgresUrl = Field(validation_alias=DATABASE_VARIABLE)
    orders_port: Port = 8000
    orders_worker_port: Port = 8010
