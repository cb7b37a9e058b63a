"""The statuses of one kind of thing: a table of transitions, and the questions it answers.

    LIFECYCLE = Lifecycle("parcel", {CREATED: {ROUTED, CANCELLED}, ROUTED: set(), CANCELLED: set()})

Every status is a key of the table; a status that leads nowhere has an empty set.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import Generic, TypeVar

from servicekit.http.problems import ProblemSpec

__all__ = ["ILLEGAL_TRANSITION", "IllegalTransition", "Lifecycle"]

S = TypeVar("S", bound=StrEnum)

ILLEGAL_TRANSITION = ProblemSpec(409, "illegal_transition", members=("allowed",))


class IllegalTransition(ValueError):
    """The status of a thing does not lead to the requested one. `allowed` are those it leads to."""

    def __init__(self, noun: str, current: str, target: str, allowed: Collection[str]) -> None:
        self.current, self.target, self.allowed = current, target, sorted(allowed)
        article = "An" if noun[0] in "aeiou" else "A"
        super().__init__(f"{article} {noun} that is {current} cannot become {target}.")


class Lifecycle(Generic[S]):
    """The lifecycle of a `noun`.

    `?wait=` answers at the `settled` statuses, by default at those that lead nowhere.
    """

    def __init__(
        self,
        noun: str,
        allowed: Mapping[S, Collection[S]],
        *,
        settled: Collection[S] | None = None,
    ) -> None:
        self.noun = noun
        self.allowed = allowed
        self.terminal = frozenset(status for status, targets in allowed.items() if not targets)
        self._settled = self.terminal if settled is None else frozenset(settled)

    def may_move(self, current: S, target: S) -> bool:
        """Whether a thing may go from one status to the other."""
        return target in self.allowed[current]

    def move(self, current: S, target: S) -> S:
        """The new status. Raises `IllegalTransition`."""
        if not self.may_move(current, target):
            raise IllegalTransition(self.noun, current, target, self.allowed[current])
        return target

    def came_too_late(self, current: S, outcome: str) -> str:
        """The line of the history for an event that leads nowhere any more; see decision 0013."""
        return f"ignored {outcome}: the {self.noun} was {current} already"

    def is_settled(self, status: S) -> bool:
        """Whether the question that was asked is answered."""
        return status in self._settled
