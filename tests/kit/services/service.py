"""A service as its tests see it."""

from __future__ import annotations

from dataclasses import dataclass

import httpx

from outbox import Work
from servicekit.process.urls import PostgresUrl


@dataclass(frozen=True)
class Service:
    """The parts of a running API, for a test to talk to."""

    http: httpx.AsyncClient
    work: Work
    url: PostgresUrl
