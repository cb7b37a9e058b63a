"""How far down the relay has to look.

An id is drawn before its transaction commits, so that a row may appear below rows seen long
ago. An id is settled once every transaction that could have drawn it or a lower one is over: when
the oldest running transaction is at or past the xmax of a snapshot taken after it was drawn.
Looking from there skips the index entries of rows already published, which a long transaction
keeps alive.
"""

from __future__ import annotations

from dataclasses import dataclass

from outbox.relay.log import Snapshot


@dataclass
class Floor:
    """Every id at or below `value` is settled, and published, in flight or held by this relay."""

    value: int = 0
    _candidate: int = 0
    _candidate_xmax: int = 0
    _settled: int = 0

    def before_look(self, snapshot: Snapshot) -> None:
        """Note what is settled; the look that follows sees all of it."""
        if self._candidate and snapshot.xmin >= self._candidate_xmax:
            self._settled, self._candidate = self._candidate, 0
        if not self._candidate and snapshot.drawn > self._settled:
            self._candidate, self._candidate_xmax = snapshot.drawn, snapshot.xmax

    def after_look(self, last: int | None) -> None:
        """Rise to what was seen of the settled ids; `last` is where the look ended, if it did."""
        reached = self._settled if last is None else min(last, self._settled)
        self.value = max(self.value, reached)

    def lower(self, below: int | None) -> None:
        """Something at this id has to be looked at again."""
        if below is not None:
            self.value = min(self.value, below - 1)
