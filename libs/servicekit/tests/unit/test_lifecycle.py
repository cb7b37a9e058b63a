"""The lifecycle of a thing: a table of transitions."""

from __future__ import annotations

from enum import StrEnum

import pytest

from servicekit.service.lifecycle import IllegalTransition, Lifecycle


class Status(StrEnum):
    CREATED = "CREATED"
    ROUTED = "ROUTED"
    CANCELLED = "CANCELLED"


ALLOWED = {
    Status.CREATED: {Status.ROUTED, Status.CANCELLED},
    Status.ROUTED: {Status.CANCELLED},
    Status.CANCELLED: set[Status](),
}


def test_an_allowed_transition_gives_the_new_status() -> None:
    assert Lifecycle("parcel", ALLOWED).move(Status.CREATED, Status.ROUTED) is Status.ROUTED


def test_an_illegal_transition_says_what_is_allowed() -> None:
    with pytest.raises(IllegalTransition) as refused:
        Lifecycle("parcel", ALLOWED).move(Status.ROUTED, Status.CREATED)
    assert str(refused.value) == "A parcel that is ROUTED cannot become CREATED."
    assert refused.value.allowed == ["CANCELLED"]


def test_a_noun_with_a_vowel_has_its_article() -> None:
    refused = IllegalTransition("order", "FAILED", "CREATED", ())
    assert str(refused) == "An order that is FAILED cannot become CREATED."


def test_a_status_that_leads_nowhere_is_terminal_and_settled() -> None:
    lifecycle = Lifecycle("parcel", ALLOWED)
    assert lifecycle.terminal == {Status.CANCELLED}
    assert [status for status in Status if lifecycle.is_settled(status)] == [Status.CANCELLED]


def test_a_lifecycle_may_name_its_settled_statuses() -> None:
    lifecycle = Lifecycle("parcel", ALLOWED, settled={Status.ROUTED})
    assert [status for status in Status if lifecycle.is_settled(status)] == [Status.ROUTED]
