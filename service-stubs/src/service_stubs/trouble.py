"""Making a system misbehave on purpose, by rate or for the next so many calls."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import cycle
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class System(StrEnum):
    """What can be troubled singly."""

    SCOOTERS = "scooters"
    TARIFFS = "tariffs"
    PROFILES = "profiles"
    CONFIGS = "configs"
    HOLD = "hold"
    CLEAR = "clear"
    RELEASE = "release"


class Mode(StrEnum):
    """How a call goes wrong.

    `slow` answers after `seconds`; `failing` answers 500 and has done nothing; `hanging` has done
    it and answers after `seconds`, by when nobody listens; `declining` is the provider's no (only
    for money); `nonsense` has done it and answers 200 with something that is no answer.
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
    """Only so many calls; null goes on until told otherwise."""
    seconds: Annotated[float, Field(ge=0, le=300)] | None = None
    answer: Any = None
    """What `nonsense` answers instead of its own list, if it is not null."""

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
    """What is wrong with each system now. At most one trouble meets a call: the rates add up."""

    chance: random.Random = field(default_factory=random.Random)
    _of: dict[System, list[Trouble]] = field(default_factory=dict)
    _left: dict[tuple[System, int], int] = field(default_factory=dict)
    _nonsense: Any = field(default_factory=lambda: cycle(NONSENSE))

    def set(self, system: System, troubles: list[Trouble]) -> None:
        """Replace what was wrong with the system; nothing is wrong with an empty list."""
        self._of[system] = troubles
        for number, trouble in enumerate(troubles):
            if trouble.next is not None:
                self._left[system, number] = trouble.next

    def clear(self) -> None:
        """All is well again."""
        self._of.clear()

    def view(self) -> dict[str, list[dict[str, Any]]]:
        """What is wrong with which system."""
        return {
            system: [trouble.model_dump(mode="json", exclude_none=True) for trouble in troubles]
            for system, troubles in self._of.items()
            if troubles
        }

    def meet(self, system: System) -> Trouble | None:
        """What goes wrong with this call, if anything does."""
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
        """The next thing that is no answer."""
        return next(self._nonsense) if trouble.answer is None else trouble.answer
