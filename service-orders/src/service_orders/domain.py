"""What a domain gives to the service: routes and errors, handlers for one queue, or both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from outbox import Handlers
from servicekit.http.problems import ProblemSpec
from servicekit.http.routing import Router


@dataclass(frozen=True)
class Domain:
    """One folder under `domains/`."""

    name: str
    queue: str | None = None
    handlers: Handlers = field(default_factory=dict)
    router: Router | None = None
    problems: Mapping[type[Exception], ProblemSpec] = field(default_factory=dict)
