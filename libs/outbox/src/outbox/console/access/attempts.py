"""How long somebody who guesses has to wait. Pure: the time comes in as an argument.

An attempt counts as wrong from the moment it begins, so many at once are many attempts. Three
counters see each one: a name from an address, an address, a name. The last two never delay for
long: colleagues share an address, and anybody could guess with a colleague's name.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

FORGOTTEN_AFTER = 3600.0
"""Seconds without an attempt."""
REMEMBERED = 10_000
"""Counters; the one that was used longest ago is forgotten first."""


@dataclass(frozen=True, slots=True)
class Limit:
    """After `free` wrong attempts the delay begins with a second and doubles up to `longest`."""

    free: int
    longest: float

    def delay(self, wrong: int) -> float:
        """Seconds until the next attempt."""
        over = wrong - self.free
        return min(self.longest, 2.0 ** min(over, 30)) if over >= 0 else 0.0


PAIR, ADDRESS, NAME = Limit(3, 900.0), Limit(20, 30.0), Limit(50, 10.0)


@dataclass(slots=True)
class _Counter:
    wrong: int = 0
    last: float = 0.0


class LoginAttempts:
    """Wrong logins by name and address, in memory."""

    def __init__(self) -> None:
        self._counters: OrderedDict[tuple[str, ...], _Counter] = OrderedDict()

    def begin(self, name: str, address: str, now: float) -> float:
        """Seconds to wait; 0 if the attempt may be made, which then counts as wrong."""
        keys = _keys(name, address)
        wait = max(self._wait(key, limit, now) for key, limit in keys.items())
        if wait <= 0:
            for key in keys:
                self._count(key, now)
        return max(wait, 0.0)

    def succeed(self, name: str, address: str) -> None:
        """The attempt was right: the pair is forgotten, the others have one attempt less."""
        pair, *others = _keys(name, address)
        self._counters.pop(pair, None)
        for key in others:
            if counter := self._counters.get(key):
                counter.wrong -= 1

    def _wait(self, key: tuple[str, ...], limit: Limit, now: float) -> float:
        counter = self._counters.get(key)
        if counter is None or now - counter.last > FORGOTTEN_AFTER:
            return 0.0
        return counter.last + limit.delay(counter.wrong) - now

    def _count(self, key: tuple[str, ...], now: float) -> None:
        counter = self._counters.setdefault(key, _Counter())
        if now - counter.last > FORGOTTEN_AFTER:
            counter.wrong = 0
        counter.wrong, counter.last = counter.wrong + 1, now
        self._counters.move_to_end(key)
        while len(self._counters) > REMEMBERED:
            self._counters.popitem(last=False)


def _keys(name: str, address: str) -> dict[tuple[str, ...], Limit]:
    return {
        ("pair", name, address): PAIR,
        ("address", address): ADDRESS,
        ("name", name): NAME,
    }
