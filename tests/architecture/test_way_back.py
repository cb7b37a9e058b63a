"""The way back: its contracts have the library's bodies, and the services use it."""

from __future__ import annotations

import json
from typing import Any

import pytest

import service_orders.settings
import service_processor.settings
from contracts import Contract, streams
from outbox import resend_events
from servicekit.process.settings import ServiceSettings

PAIRS = [(sample, getattr(resend_events, type(sample).__name__)) for sample in streams.SAMPLES]


@pytest.mark.parametrize(("sample", "library"), PAIRS, ids=lambda one: getattr(one, "type", one))
def test_the_library_reads_and_writes_what_the_contract_says(
    sample: Contract, library: Any
) -> None:
    for name in ("type", "version", "aggregate_type"):
        assert getattr(library, name) == getattr(sample, name)
    read = library.parse(sample.payload())
    assert read.aggregate_id == sample.aggregate_id
    assert type(sample).parse(read.payload()) == sample
    assert json.loads(read.payload()).keys() == json.loads(sample.payload()).keys()


@pytest.mark.parametrize(
    ("service", "other"),
    [
        (service_orders.settings.Settings, "service-processor"),
        (service_processor.settings.Settings, "service-orders"),
    ],
)
def test_a_service_asks_the_other_one_unless_that_is_switched_off(
    service: type[ServiceSettings], other: str
) -> None:
    given = {
        "rabbitmq_url": "amqp://user:password@127.0.0.1:5672/",
        "database_url": "postgresql://user:password@127.0.0.1:5432/database",
    }
    assert service.model_validate(given).of_consumers().resend == (other,)
    off = service.model_validate({**given, "inbox_resend": "off"})
    assert off.of_consumers().resend == ()
