"""Answers of external systems are kept: fresh ones, and old ones while a system is away."""

from __future__ import annotations

import pytest

from servicekit.cache.stale_if_error import StaleIfErrorCache
from servicekit.http.client import NotThere, Unavailable


class Asked:
    """A source that can be away, with a clock of its own."""

    def __init__(self) -> None:
        self.now, self.answer, self.times = 0.0, 1, 0
        self.problem: Exception | None = None
        self.cache = StaleIfErrorCache[int](
            "theirs", self, fresh=60, kept=600, limit=2, clock=lambda: self.now
        )

    async def __call__(self, _key: str) -> int:
        self.times += 1
        if self.problem:
            raise self.problem
        return self.answer


async def test_a_fresh_value_is_not_asked_for() -> None:
    asked = Asked()
    assert await asked.cache.get("a") == 1
    asked.now, asked.answer = 59, 2
    assert (await asked.cache.get("a"), asked.times) == (1, 1)
    asked.now = 60
    assert (await asked.cache.get("a"), asked.times) == (2, 2)


async def test_an_old_value_is_returned_while_the_system_is_away_up_to_its_age() -> None:
    asked = Asked()
    await asked.cache.get("a")
    asked.problem = Unavailable("theirs", "away")
    asked.now = 600
    assert await asked.cache.get("a") == 1
    asked.now = 601
    with pytest.raises(Unavailable):
        await asked.cache.get("a")


async def test_a_value_that_no_longer_exists_is_forgotten() -> None:
    asked = Asked()
    await asked.cache.get("a")
    asked.now, asked.problem = 60, NotThere("gone")
    with pytest.raises(NotThere):
        await asked.cache.get("a")
    asked.problem = Unavailable("theirs", "away")
    with pytest.raises(Unavailable):
        await asked.cache.get("a")


async def test_the_most_recently_used_values_are_kept() -> None:
    asked = Asked()
    for key in ("a", "b", "a", "c"):
        await asked.cache.get(key)
    asked.problem = Unavailable("theirs", "away")
    assert await asked.cache.get("a") == await asked.cache.get("c") == 1
    with pytest.raises(Unavailable):
        await asked.cache.get("b")
