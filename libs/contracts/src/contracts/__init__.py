"""The contracts of the services: the events that they exchange, and which queue takes which events.

There is one module per domain. It holds a class for each event type, the domain's subscriptions,
and a sample of each event; the names are imported from there (`contracts.orders.OrderCreated`).
This package collects all of them, so adding a module needs no line here. An event is immutable
once published: a field may be added with a default, but never renamed, removed or narrowed. The
golden samples in `tests/golden` keep this promise. The package depends on pydantic alone.
"""

import pkgutil
import sys
from importlib import import_module

from contracts.base import Contract
from contracts.declared import Declared, InvalidContracts
from contracts.exchanges import AUDIT, AUDIT_KEPT, EXCHANGES, Exchange, Subscription

_NOT_DOMAINS = {"__main__", "asyncapi", "base", "declared", "exchanges"}  # see decision 1501
_DOMAINS = sorted({module.name for module in pkgutil.iter_modules(__path__)} - _NOT_DOMAINS)
try:
    _DECLARED = [Declared.by(import_module(f"{__name__}.{domain}")) for domain in _DOMAINS]
except InvalidContracts as invalid:
    if sys.argv[0] == "-m":  # Python looks for `contracts.__main__`: `make contracts` says one line
        sys.exit(str(invalid))
    raise

EVENTS: tuple[type[Contract], ...] = tuple(
    event for declared in _DECLARED for event in declared.events
)
SUBSCRIPTIONS: tuple[Subscription, ...] = tuple(
    subscription for declared in _DECLARED for subscription in declared.subscriptions
)
SAMPLES: tuple[Contract, ...] = tuple(
    sample for declared in _DECLARED for sample in declared.samples
)
"""One sample of each event; its golden sample is written from it."""


def events_of(subscription: Subscription) -> tuple[type[Contract], ...]:
    """The classes of all events that the subscription's queue receives."""
    return tuple(
        event
        for event in EVENTS
        if subscription.source in event.sources()
        and event.aggregate_type in subscription.aggregate_types
    )


__all__ = [
    "AUDIT",
    "AUDIT_KEPT",
    "EVENTS",
    "EXCHANGES",
    "SAMPLES",
    "SUBSCRIPTIONS",
    "Contract",
    "Exchange",
    "Subscription",
    "events_of",
]
