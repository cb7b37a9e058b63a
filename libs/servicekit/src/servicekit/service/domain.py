"""What a domain gives to its service: routes and problems, handlers for one queue, or both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from outbox import Handlers, HandlersByType
from outbox.errors import InvalidSetting
from outbox.rabbitmq.subscription import Subscribed
from servicekit.http.problems import ProblemSpec
from servicekit.http.routing import Router


@dataclass(frozen=True)
class Domain:
    """One folder under `domains/`."""

    name: str
    subscription: Subscribed | None = None
    handlers: HandlersByType = field(default_factory=dict)
    router: Router | None = None
    problems: Mapping[type[Exception], ProblemSpec] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raises `InvalidSetting` for an event without a handler, or handlers of another queue."""
        if isinstance(self.handlers, Handlers):
            self.handlers.check()
            if self.handlers.queue != self.queue:
                raise InvalidSetting(
                    f"domain {self.name}",
                    f"consumes {self.queue}, and its handlers are of {self.handlers.queue}:"
                    " give both the same subscription",
                )
        elif self.subscription and not self.handlers:
            raise InvalidSetting(
                f"domain {self.name}", f"consumes {self.queue} without handlers: give it handlers="
            )

    @property
    def queue(self) -> str | None:
        """The queue that the domain consumes, if it consumes one."""
        return self.subscription.queue if self.subscription else None


def routers_of(domains: Iterable[Domain]) -> list[Router]:
    """The routers of the domains that have one."""
    return [domain.router for domain in domains if domain.router]


def problems_of(domains: Iterable[Domain]) -> dict[type[Exception], ProblemSpec]:
    """What every exception of the domains is answered with."""
    return {error: spec for domain in domains for error, spec in domain.problems.items()}


def queues_of(domains: Iterable[Domain]) -> dict[str, HandlersByType]:
    """The handlers of every queue that a domain consumes."""
    return {domain.queue: domain.handlers for domain in domains if domain.queue}
