"""What the module of one domain declares: events, subscriptions, and a sample of each event.

Invariant: nothing that the module says is left out. Every public event class and every
subscription in it counts. What does not fit together is refused when `contracts` is imported.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Self

from contracts.base import Contract
from contracts.exchanges import EXCHANGES, Subscription


class InvalidContracts(Exception):
    """A module of `contracts` says something that does not fit together."""

    def __init__(self, module: ModuleType, what: str) -> None:
        super().__init__(f"{module.__name__}: {what}")


@dataclass(frozen=True)
class Declared:
    """All that one module declares, in the order of the module."""

    events: tuple[type[Contract], ...]
    subscriptions: tuple[Subscription, ...]
    samples: tuple[Contract, ...]

    @classmethod
    def by(cls, module: ModuleType) -> Self:
        """Read a module. Raises `InvalidContracts` with what to do."""
        events = _events(module)
        return cls(events, _subscriptions(module), _samples(module, events))


def _events(module: ModuleType) -> tuple[type[Contract], ...]:
    classes = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Contract)
        if value.__module__ == module.__name__
    ]
    for found in classes:
        if found.__name__.startswith("_") == hasattr(found, "type"):
            raise InvalidContracts(
                module,
                f"give {found.__name__} a `type` and a public name if it is an event; the name of"
                " a base of events begins with an underscore, and a base has no `type`",
            )
    events = tuple(found for found in classes if hasattr(found, "type"))
    for event in events:
        _check(module, event)
    return events


def _check(module: ModuleType, event: type[Contract]) -> None:
    for needed in ("source", "aggregate_type"):
        if not hasattr(event, needed):
            raise InvalidContracts(module, f"{event.__name__} needs `{needed}`")
    known = [exchange.source for exchange in EXCHANGES]
    if not set(event.sources()) <= set(known):
        raise InvalidContracts(
            module,
            f"{event.__name__} has the source {event.source!r}: it is one of {known}, or add an"
            " exchange to EXCHANGES",
        )


def _subscriptions(module: ModuleType) -> tuple[Subscription, ...]:
    named = {name: value for name, value in vars(module).items() if isinstance(value, Subscription)}
    domain = module.__name__.rpartition(".")[2]
    services = [exchange.source.removeprefix("service-") for exchange in EXCHANGES]
    queues = [f"{service}.{domain}" for service in services]
    for name, subscription in named.items():
        if subscription.queue not in queues:
            raise InvalidContracts(
                module,
                f"{name} has the queue {subscription.queue!r}, and a queue of this module is called"
                f" {' or '.join(queues)}: mend its name",
            )
        expected = subscription.queue.replace(".", "_").upper()
        if name != expected:
            raise InvalidContracts(
                module,
                f"{name} is not called like its queue {subscription.queue}: call it {expected}",
            )
    return tuple(named.values())


def _samples(module: ModuleType, events: tuple[type[Contract], ...]) -> tuple[Contract, ...]:
    samples = tuple(getattr(module, "SAMPLES", ()))
    kinds = [type(sample) for sample in samples]
    for event in events:
        if kinds.count(event) != 1:
            raise InvalidContracts(
                module,
                f"SAMPLES holds {kinds.count(event)} samples of {event.__name__}: give it one",
            )
    for kind in kinds:
        if kind not in events:
            raise InvalidContracts(
                module, f"SAMPLES holds {kind.__name__}, which is no event of this module"
            )
    if not events:
        raise InvalidContracts(
            module, "declares no event: if it is not of a domain, add it to _NOT_DOMAINS"
        )
    return samples
