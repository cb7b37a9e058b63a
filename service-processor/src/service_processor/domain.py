"""What a domain gives to the service: routes, errors, and handlers for one queue."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from outbox import Handler
from servicekit.problems import ProblemSpec
from servicekit.requests import Router


@dataclass(frozen=True)
class Domain:
    """One folder under `domains/`."""

    name: str
    queue: str
    handlers: Mapping[str, Handler]
    router: Router
    problems: Mapping[type[Exception], ProblemSpec] = field(default_factory=dict)
