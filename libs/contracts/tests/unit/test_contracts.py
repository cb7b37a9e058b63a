"""An event that was published once can be read for ever."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import pytest
from pydantic import ValidationError

from contracts import EVENTS, EXCHANGES, SAMPLES, SUBSCRIPTIONS, Contract, events_of
from contracts.asyncapi import document
from contracts.orders import OrderCancelled, OrderCreated, OrderProcessed

GOLDEN = Path(__file__).parents[1] / "golden"
ASYNCAPI = Path(__file__).parents[4] / "docs" / "asyncapi.yaml"
E = TypeVar("E", bound=Contract)


def sample_of(kind: type[E]) -> E:
    """The one sample of an event."""
    [sample] = [sample for sample in SAMPLES if isinstance(sample, kind)]
    return sample


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.type)
def test_an_event_is_written_as_its_golden_sample(sample: Contract) -> None:
    golden = GOLDEN / f"{sample.type}.v{sample.version}.json"
    assert golden.exists(), "write it: make contracts"
    assert json.loads(sample.payload()) == json.loads(golden.read_bytes()), (
        f"{golden.name} never changes: restore {type(sample).__name__} and its sample,"
        f" or make a new version of the event (version = {sample.version + 1})"
    )


@pytest.mark.parametrize("golden", sorted(GOLDEN.glob("*.json")), ids=lambda path: path.stem)
def test_every_golden_sample_of_any_version_can_be_read(golden: Path) -> None:
    kind = {event.type: event for event in EVENTS}.get(golden.stem.rpartition(".v")[0])
    assert kind, f"{golden.name} was published: restore its event, which consumers still meet"
    assert kind.parse(golden.read_bytes()) == sample_of(kind), (
        "a new field has its default in the sample, so that older golden samples read the same"
    )


@dataclass(frozen=True)
class Came:
    """An event as a handler gets it."""

    aggregate_id: str
    payload: bytes


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.type)
def test_a_body_has_to_be_about_the_aggregate_in_whose_stream_it_came(sample: Contract) -> None:
    kind = type(sample)
    assert kind.from_envelope(Came(sample.aggregate_id, sample.payload())) == sample
    with pytest.raises(ValidationError, match="another aggregate"):
        kind.from_envelope(Came(sample.aggregate_id + "0", sample.payload()))


def texts(schema: Any, name: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every free text in a JSON schema, with its name. A decimal is none: see below."""
    if isinstance(schema, dict):
        if schema.get("type") == "string" and not {"enum", "const", "format"} & set(schema):
            yield name, schema
        if {"type": "number"} not in schema.get("anyOf", ()):
            for key, value in schema.items():
                yield from texts(value, key)
    elif isinstance(schema, list):
        for value in schema:
            yield from texts(value, name)


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.type)
def test_every_text_of_an_event_has_a_maximum(event: type[Contract]) -> None:
    for name, schema in texts(event.model_json_schema()):
        assert "maxLength" in schema, (
            f"{event.__name__}.{name} has no maximum: use Name, Reason or Description of"
            " contracts.base"
        )


UNSEEN = "\0\x1b\n\x7f\x9f\u061c\u200b\u200e\u200f\u2028\u202e\u2060\u2066\ufeff"


def test_a_name_that_hides_what_it_is_is_unreadable() -> None:
    sample = sample_of(OrderCreated)
    for sign in UNSEEN:
        body = json.loads(sample.payload()) | {"user_id": f"a{sign}b"}
        with pytest.raises(ValidationError):
            OrderCreated.parse(json.dumps(body).encode())


@pytest.mark.parametrize("reason", ["no stock of می‌خواهم", "👩‍🚀 is away", "ñ"])
def test_a_reason_in_any_script_is_read(reason: str) -> None:
    sample = sample_of(OrderProcessed)
    body = json.loads(sample.payload()) | {"reason": reason}
    assert OrderProcessed.parse(json.dumps(body).encode()).reason == reason


def test_a_reason_of_many_characters_or_unseen_ones_is_unreadable() -> None:
    sample = sample_of(OrderProcessed)
    for reason in ("x" * 1_001, *(f"a{sign}b" for sign in UNSEEN)):
        body = json.loads(sample.payload()) | {"reason": reason}
        with pytest.raises(ValidationError):
            OrderProcessed.parse(json.dumps(body).encode())


DECIMALS = [
    (sample, name)
    for sample in SAMPLES
    for name in type(sample).model_fields
    if isinstance(getattr(sample, name), Decimal)
]


@pytest.mark.parametrize(("sample", "name"), DECIMALS, ids=lambda it: getattr(it, "type", it))
def test_a_decimal_of_many_digits_is_unreadable(sample: Contract, name: str) -> None:
    body = json.loads(sample.payload()) | {name: "1" * 13}
    with pytest.raises(ValidationError):
        type(sample).parse(json.dumps(body).encode())


def test_every_event_has_a_sample() -> None:
    assert {type(sample) for sample in SAMPLES} == set(EVENTS)


def test_a_field_that_we_do_not_know_is_ignored() -> None:
    sample = sample_of(OrderCancelled)
    body = json.loads(sample.payload()) | {"added_later": 1}
    assert OrderCancelled.parse(json.dumps(body).encode()) == sample


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.type)
def test_an_event_goes_to_the_queue_of_its_aggregate_or_to_the_audit(event: type[Contract]) -> None:
    first_word = event.type.partition(".")[0]
    for source in event.sources():
        takers = [s for s in SUBSCRIPTIONS if s.source == source and first_word in s.first_words]
        if event.audit_only:
            assert not takers, "the event is audit_only, and a queue takes it: leave one out"
            assert first_word == event.aggregate_type
        else:
            assert [event.aggregate_type in s.aggregate_types for s in takers] == [True], (
                f"{len(takers)} subscriptions are for events of {source} that begin with"
                f" {first_word!r}, and one of its aggregate type is needed: declare it in"
                f" {event.__module__} ({first_word!r} in `parts` if it is not the aggregate type),"
                " or say audit_only = True"
            )


def test_no_queue_takes_a_part_of_a_stream() -> None:
    for subscription in SUBSCRIPTIONS:
        words = {event.type.partition(".")[0] for event in events_of(subscription)}
        assert words == set(subscription.first_words), (
            f"{subscription.queue}: events begin with {words}, the subscription says otherwise"
        )


def test_event_types_are_unique_and_come_from_a_known_source() -> None:
    assert len({event.type for event in EVENTS}) == len(EVENTS)
    assert len(set(SUBSCRIPTIONS)) == len(SUBSCRIPTIONS)
    known = {exchange.source for exchange in EXCHANGES}
    assert {source for event in EVENTS for source in event.sources()} <= known, (
        f"a source is one of {known}"
    )


def test_the_asyncapi_document_is_up_to_date() -> None:
    assert json.loads(ASYNCAPI.read_text()) == document(), "write it: make contracts"
