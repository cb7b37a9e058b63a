"""Whose events a service believes follows from whom it is logged in as, unless it is told."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import pytest

import service_orders.settings
import service_processor.settings
from servicekit.process.settings import ServiceSettings

DATABASE = "postgresql://user:password@127.0.0.1:5432/database"


def senders(service: type[ServiceSettings], own: str, **more: str) -> Mapping[str, Collection[str]]:
    url = f"amqp://{own}@127.0.0.1:5672/"
    given = {"rabbitmq_url": url, "database_url": DATABASE, **more}
    return service.model_validate(given).senders


ORDERS = (service_orders.settings.Settings, "orders", "service-processor", "processor")
PROCESSOR = (service_processor.settings.Settings, "processor", "service-orders", "orders")


@pytest.mark.parametrize(("service", "own", "source", "theirs"), [ORDERS, PROCESSOR])
def test_whose_events_a_service_believes(
    service: type[ServiceSettings], own: str, source: str, theirs: str
) -> None:
    variable = f"rabbitmq_user_{theirs}"
    assert senders(service, f"{own}:password") == {source: {theirs}}
    assert senders(service, "one-for-both:password") == {}
    assert senders(service, "one:password", **{variable: "other"}) == {source: {"other"}}
    assert senders(service, f"{own}:password", **{variable: "other"}) == {source: {"other"}}
