"""Faults of systems on purpose, by rate or for a number of calls."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import cycle
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class System(StrEnum):
    """A system that can have faults of its own."""

    SCOOTERS = "scooters"
    TARIFFS = "tariffs"
    PROFILES = "profiles"
    CONFIGS = "configs"
    HOLD = "hold"
    CLEAR = "clear"
    RELEASE = "release"


class Mode(StrEnum):
    """How a call goes wrong.

    `slow` answers after `seconds`. `failing` answers 500 and has no effect. `hanging` has its
    effect and answers after `seconds`, when the caller has given up. `declining` is a declined
    payment. `nonsense` has its effect and answers 200 with a body that is not valid.
    """

    SLOW = "slow"
    FAILING = "failing"
    HANGING = "hanging"
    DECLINING = "declining"
    NONSENSE = "nonsense"


USUAL_SECONDS = {Mode.SLOW: 3.0, Mode.HANGING: 30.0}

NONSENSE: tuple[Any, ...] = (
    {"error": "internal error"},
    {},
    [],
    None,
    "<html>It works!</html>",
    {"id": "another", "zone_id": None, "charge": -1, "price_per_minute": -1, "price_unlock": -1},
    {"price_per_minute": 10**9, "price_unlock": 10**9, "default_deposit": 10**9},
    {"status": "maybe", "amount": "many"},
)


class Trouble(BaseModel):
    """One way in which some calls of a system go wrong."""

    model_config = ConfigDict(frozen=True)

    mode: Mode
    rate: Annotated[float, Field(gt=0, le=1)] = 1.0
    next: Annotated[int, Field(ge=1)] | None = None
    """The number of calls; null means until the faults are changed."""
    seconds: Annotated[float, Field(ge=0, le=300)] | None = None
    answer: Any = None
    """The body of `nonsense`, if it is not null."""

    @model_validator(mode="after")
    def _known_seconds(self) -> Self:
        if self.seconds is not None and self.mode not in USUAL_SECONDS:
            raise ValueError("only slow and hanging take seconds")
        return self

    @property
    def delay(self) -> float:
        """Seconds before the answer."""
        usual = USUAL_SECONDS.get(self.mode, 0.0)
        return usual if self.seconds is None else self.seconds


@dataclass
class Troubles:
    """The present faults of each system. A call has at most one, so their rates add up."""

    chance: random.Random = field(default_factory=random.Random)
    _of: dict[System, list[Trouble]] = field(default_factory=dict)
    _left: dict[tuple[System, int], int] = field(default_factory=dict)
    _nonsense: Any = field(default_factory=lambda: cycle(NONSENSE))

    def set(self, system: System, troubles: list[Trouble]) -> None:
        """Replace the faults of a system; an empty list removes them."""
        self._of[system] = troubles
        for number, trouble in enumerate(troubles):
            if trouble.next is not None:
                self._left[system, number] = trouble.next

    def clear(self) -> None:
        """Remove all faults."""
        self._of.clear()

    def view(self) -> dict[str, list[dict[str, Any]]]:
        """The faults of each system that has some."""
        return {
            system: [trouble.model_dump(mode="json", exclude_none=True) for trouble in troubles]
            for system, troubles in self._of.items()
            if troubles
        }

    def meet(self, system: System) -> Trouble | None:
        """The fault of this call, if it has one."""
        drawn = self.chance.random()
        for number, trouble in enumerate(self._of.get(system, ())):
            if trouble.next is not None and self._left[system, number] <= 0:
                continue
            if drawn < trouble.rate:
                if trouble.next is not None:
                    self._left[system, number] -= 1
                return trouble
            drawn -= trouble.rate
        return None

    def nonsense(self, trouble: Trouble) -> Any:
        """The next body that is not valid."""
        return next(self._nonsense) if trouble.answer is None else trouble.answer
