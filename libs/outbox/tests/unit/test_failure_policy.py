"""Which rule decides about an error, and when a failed event is tried again."""

from __future__ import annotations

import json

import psycopg
import pydantic
import pytest
from sqlalchemy.exc import IntegrityError

from outbox import Discard, Failures, Park, Retry, Unreadable
from outbox.inbox.failure_policy import FailurePolicy, Reaction

SOON, LATE = Retry(ceiling=5), Retry(base=60)
GONE = Discard("the order is gone")


def reaction(policy: FailurePolicy, problem: Exception) -> Reaction:
    return policy.reaction_to(problem, "order.placed")


def test_without_rules_a_failure_is_retried_for_a_day() -> None:
    found = reaction(FailurePolicy(), ValueError())
    assert found == Retry()
    assert Retry().deadline == 24 * 3600


def test_the_nearest_class_decides() -> None:
    policy = FailurePolicy({Exception: Park(), LookupError: SOON, KeyError: GONE})
    assert reaction(policy, KeyError()) is GONE
    assert reaction(policy, IndexError()) is SOON
    assert reaction(policy, ValueError()) == Park()


def test_a_handlers_rule_comes_before_the_consumers_rule_for_the_same_class() -> None:
    policy = FailurePolicy({KeyError: GONE}, {"order.placed": {KeyError: SOON}})
    assert reaction(policy, KeyError()) is SOON
    assert policy.reaction_to(KeyError(), "order.printed") is GONE


def test_a_nearer_class_of_the_consumer_comes_before_a_handlers_rule() -> None:
    policy = FailurePolicy({KeyError: GONE}, {"order.placed": {Exception: SOON}})
    assert reaction(policy, KeyError()) is GONE


def test_a_body_that_cannot_be_read_is_parked_unless_a_rule_names_its_class() -> None:
    with pytest.raises(json.JSONDecodeError) as broken:
        json.loads("{")
    with pytest.raises(pydantic.ValidationError) as wrong:
        pydantic.TypeAdapter(int).validate_python("x")
    everything = FailurePolicy({Exception: SOON, ValueError: SOON})
    for problem in (broken.value, wrong.value, Unreadable("what?")):
        assert reaction(everything, problem) == Park("unreadable")
    assert reaction(FailurePolicy({json.JSONDecodeError: LATE}), broken.value) is LATE


def test_of_an_exception_group_the_first_member_decides() -> None:
    group = ExceptionGroup("two", [ExceptionGroup("one", [KeyError()]), ValueError()])
    assert reaction(FailurePolicy({KeyError: GONE}), group) is GONE


def test_the_drivers_class_decides_before_the_one_that_wraps_it() -> None:
    problem = IntegrityError("INSERT", {}, psycopg.errors.UniqueViolation())
    wraps: Failures = {IntegrityError: LATE, Exception: Park()}
    assert reaction(FailurePolicy(wraps), problem) is LATE
    assert reaction(FailurePolicy({**wraps, psycopg.errors.UniqueViolation: GONE}), problem) is GONE
    assert reaction(FailurePolicy({Exception: SOON, psycopg.Error: GONE}), problem) is GONE


def test_delays_double_up_to_the_ceiling() -> None:
    retry = Retry(base=1, ceiling=8)
    for failed, most in ((1, 1), (2, 2), (3, 4), (4, 8), (10**9, 8)):
        assert most / 2 <= retry.delay(failed) <= most
