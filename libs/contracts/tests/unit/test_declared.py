"""What a module leaves out or spells wrong is refused when `contracts` is imported."""

from __future__ import annotations

from types import ModuleType

import pytest

from contracts.declared import Declared, InvalidContracts

REVIEWS = """
from typing import ClassVar

from contracts.base import Contract
from contracts.exchanges import ORDERS


class _ReviewEvent(Contract):
    source: ClassVar[str] = "service-orders"
    aggregate_type: ClassVar[str] = "review"

    review_id: int


class ReviewSubmitted(_ReviewEvent):
    type: ClassVar[str] = "review.submitted"


class ReviewDeleted(_ReviewEvent):
    type: ClassVar[str] = "review.deleted"


PROCESSOR_REVIEWS = ORDERS.to("processor.reviews", "review")

SAMPLES = (ReviewSubmitted(review_id=1), ReviewDeleted(review_id=1))
"""


def module(source: str) -> ModuleType:
    made = ModuleType("contracts.reviews")
    exec(source, vars(made))
    return made


def test_a_module_declares_its_events_subscriptions_and_samples_in_its_order() -> None:
    found = Declared.by(module(REVIEWS))
    assert [event.__name__ for event in found.events] == ["ReviewSubmitted", "ReviewDeleted"]
    assert [subscription.queue for subscription in found.subscriptions] == ["processor.reviews"]
    assert [type(sample) for sample in found.samples] == list(found.events)


def test_names_that_a_module_imports_are_not_declared_by_it() -> None:
    imported = "from contracts.orders import OrderCreated\n" + REVIEWS
    assert len(Declared.by(module(imported)).events) == 2


@pytest.mark.parametrize(
    ("right", "slip", "said"),
    [
        (", ReviewDeleted(review_id=1)", ",", "SAMPLES holds 0 samples of ReviewDeleted"),
        ("SAMPLES =", "SAMPLE =", "SAMPLES holds 0 samples of ReviewSubmitted: give it one"),
        ("SAMPLES = (", "SAMPLES = (ReviewDeleted(review_id=2), ", "2 samples of ReviewDeleted"),
        ("SAMPLES = (", "SAMPLES = (3, ", "holds int, which is no event of this module"),
        (' type: ClassVar[str] = "review.s', ' kind: ClassVar[str] = "review.s', "a `type`"),
        ("ReviewDeleted", "_ReviewDeleted", "give _ReviewDeleted a `type` and a public name"),
        ("    aggregate_type: ", "    aggregate_typ: ", "ReviewSubmitted needs `aggregate_type`"),
        ("    source: ", "    origin: ", "ReviewSubmitted needs `source`"),
        ('"processor.reviews"', '"processor.review"', "orders.reviews or processor.reviews: mend"),
        ("PROCESSOR_REVIEWS", "ORDERS_REVIEWS", "call it PROCESSOR_REVIEWS"),
        ('"processor.reviews"', '"procesor.reviews"', "has the queue 'procesor.reviews', and"),
        ('"service-orders"', '"service-order"', "has the source 'service-order': it is one of"),
    ],
)
def test_a_slip_is_refused_with_what_to_do(right: str, slip: str, said: str) -> None:
    assert right in REVIEWS
    with pytest.raises(InvalidContracts, match=rf"^contracts\.reviews: .*{said}"):
        Declared.by(module(REVIEWS.replace(right, slip)))


@pytest.mark.parametrize("slip", ["procesor.reviews", "processor.review", "processor.parcels"])
def test_a_queue_that_is_misspelt_like_its_constant_is_refused(slip: str) -> None:
    constant = slip.replace(".", "_").upper()
    slipped = REVIEWS.replace("processor.reviews", slip).replace("PROCESSOR_REVIEWS", constant)
    with pytest.raises(InvalidContracts, match=r"called orders\.reviews or processor\.reviews"):
        Declared.by(module(slipped))


def test_a_module_without_events_has_to_be_named_as_none_of_a_domain() -> None:
    with pytest.raises(InvalidContracts, match=r"declares no event: .* add it to _NOT_DOMAINS"):
        Declared.by(module("SAMPLES = ()"))
