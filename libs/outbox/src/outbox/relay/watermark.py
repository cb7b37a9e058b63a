"""How far down the relay has to look.

An id is drawn before its transaction commits, so that a row may appear below rows seen long
ago. An id is settled once every transaction that could have drawn it or a lower one is over: that
is, once all who held a lock on the log after it was seen to be drawn have let go. Transactions
that write elsewhere do not matter, however long they run.

Looking from there skips the index entries of rows already published, which a long snapshot keeps
alive.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class LowWatermark:
    """Every id at or below `value` is settled, and published, in flight or held by this relay."""

    value: int = 0
    _settled: int = 0
    _candidate: int = 0
    _writers: frozenset[bytes] = frozenset()

    def note(self, drawn: int, writers: frozenset[bytes]) -> None:
        """An id had been drawn; after that, these transactions had written and were not over.

        The looks that follow see all that is settled by this.
        """
        if self._candidate and not self._writers & writers:
            self._settled, self._candidate = self._candidate, 0
        if not self._candidate and drawn > self._settled:
            if writers:
                self._candidate, self._writers = drawn, writers
            else:
                self._settled = drawn

    def after_look(self, last: int | None) -> None:
        """Rise to what was seen of the settled ids; `last` is where the look ended, if it did."""
        reached = self._settled if last is None else min(last, self._settled)
        self.value = max(self.value, reached)

    def lower(self, below: int | None) -> None:
        """Something at this id has to be looked at again."""
        if below is not None:
            self.value = min(self.value, below - 1)
