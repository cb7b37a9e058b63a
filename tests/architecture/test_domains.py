"""The wiring of domains: whatever is left out fails here, before the first start."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from fastapi.routing import iter_route_contexts

from contracts import EVENTS, SUBSCRIPTIONS, Subscription, events_of
from contracts.bookings import PROCESSOR_BOOKINGS
from contracts.orders import PROCESSOR_ORDERS
from outbox import Handlers
from outbox.errors import InvalidSetting
from service_orders.domains import DOMAINS
from service_processor.domains import domains
from service_processor.settings import Settings
from servicekit.http.direct_calls import DirectCall
from servicekit.service.domain import Domain, routers_of

ROOT = Path(__file__).parents[2]
OF = {"orders": DOMAINS, "processor": domains(Settings.model_construct())}
EVERY = [domain for registered in OF.values() for domain in registered]


@pytest.mark.parametrize("subscription", SUBSCRIPTIONS, ids=lambda one: one.queue)
def test_a_queue_is_consumed_by_one_domain_of_its_service(subscription: Subscription) -> None:
    service, _, _ = subscription.queue.partition(".")
    assert service in OF, f"begin the name of queue {subscription.queue} with one of {sorted(OF)}"
    found = [domain for domain in EVERY if domain.queue == subscription.queue]
    assert len(found) == 1, (
        f"{len(found)} domains consume {subscription.queue}: give the subscription to one Domain of"
        f" service-{service} and add the domain to its domains/__init__.py"
    )
    [domain] = found
    assert domain in OF[service], f"{subscription.queue} belongs to service-{service}"
    assert domain.subscription is subscription, (
        f"domain {domain.name}: refer to the constant of contracts"
    )


@pytest.mark.parametrize("subscription", SUBSCRIPTIONS, ids=lambda one: one.queue)
def test_every_event_of_a_queue_is_handled_or_ignored(subscription: Subscription) -> None:
    for domain in EVERY:
        if domain.queue == subscription.queue:
            assert isinstance(domain.handlers, Handlers), "use Handlers"
            assert set(domain.handlers) == {event.type for event in events_of(subscription)}, (
                f"handle each event of {domain.queue} in domain {domain.name}, or ignore it"
            )


def test_a_domain_without_a_handler_for_an_event_cannot_be_made() -> None:
    forgotten = Handlers(PROCESSOR_ORDERS, *events_of(PROCESSOR_ORDERS))
    with pytest.raises(InvalidSetting, match="has no handler of OrderCreated, OrderCancelled"):
        Domain(name="forgotten", subscription=PROCESSOR_ORDERS, handlers=forgotten)


def test_a_domain_that_consumes_a_queue_without_handlers_cannot_be_made() -> None:
    with pytest.raises(InvalidSetting, match="without handlers: give it handlers="):
        Domain(name="forgotten", subscription=PROCESSOR_ORDERS)


def test_a_domain_with_handlers_of_another_queue_cannot_be_made() -> None:
    handlers = Handlers(PROCESSOR_BOOKINGS, *events_of(PROCESSOR_BOOKINGS))
    handlers.ignores(*events_of(PROCESSOR_BOOKINGS))
    with pytest.raises(InvalidSetting, match="give both the same subscription"):
        Domain(name="mistaken", subscription=PROCESSOR_ORDERS, handlers=handlers)


def test_every_event_has_a_queue_or_says_that_it_has_none() -> None:
    sent = {event for subscription in SUBSCRIPTIONS for event in events_of(subscription)}
    assert set(EVENTS) - sent == {event for event in EVENTS if event.audit_only}, (
        "declare a subscription beside the event in contracts, or say audit_only = True"
    )


@pytest.mark.parametrize("service", OF)
def test_every_folder_of_domains_is_registered(service: str) -> None:
    folder = ROOT / f"service-{service}/src/service_{service}/domains"
    folders = {path.parent.name for path in folder.glob("*/__init__.py")}
    missing = folders - {domain.name for domain in OF[service]}
    assert not missing, f"add {missing} to {folder.relative_to(ROOT)}/__init__.py"


@pytest.mark.parametrize("service", OF)
def test_importing_the_domains_declares_all_of_their_tables(service: str) -> None:
    """In a process of its own: here other tests may have imported them."""
    name = f"service_{service}.domains"
    asked = f"import {name}, sys; print(*sys.modules)"
    imported = subprocess.check_output([sys.executable, "-c", asked], text=True).split()
    folder = ROOT / f"service-{service}/src/service_{service}/domains"
    models = {f"{name}.{path.parent.name}.models" for path in folder.glob("*/models.py")}
    assert models, folder
    missing = models - set(imported)
    assert not missing, f"nothing imports {missing}: migrations would not see their tables"


@pytest.mark.parametrize("domain", EVERY, ids=lambda domain: f"{domain.name}")
def test_every_domain_has_a_page_and_its_queue_stands_in_operations(domain: Domain) -> None:
    page = {"payments": "rentals", "streams": "replay"}.get(domain.name, domain.name)
    assert (ROOT / "docs" / f"{page}.md").exists(), f"write docs/{page}.md"
    if domain.queue:
        operations = (ROOT / "docs/operations.md").read_text()
        assert f"`{domain.queue}`" in operations, (
            f"docs/operations.md lists every queue: add `{domain.queue}`"
        )


def test_every_endpoint_of_a_domain_is_called_directly() -> None:
    contexts = [one for router in routers_of(EVERY) for one in iter_route_contexts(router.routes)]
    assert contexts
    for context in contexts:
        DirectCall(context)  # raises Unusual, see decision 1713
