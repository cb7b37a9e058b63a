"""How far down the relay has to look.

An id is drawn before its transaction commits, so that a row may appear below rows seen long
ago. An id is settled once every transaction that could have drawn it or a lower one is over. A
writer has its transaction id before it draws (the stream's counter comes first), so all of them
have lower ids than a transaction that begins after the id was seen to be drawn. The xmax of a
snapshot would not do: it tells what has ended, and lies below transactions that are running.

Looking from there skips the index entries of rows already published, which a long snapshot keeps
alive.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Floor:
    """Every id at or below `value` is settled, and published, in flight or held by this relay."""

    value: int = 0
    _settled: int = 0
    _candidate: int = 0
    _transaction: int = 0

    def wants(self, drawn: int) -> bool:
        """Whether an id that has been drawn is worth to be proposed."""
        return not self._candidate and drawn > self._settled

    def propose(self, drawn: int, transaction: int) -> None:
        """An id had been drawn before this transaction began."""
        self._candidate, self._transaction = drawn, transaction

    def before_look(self, oldest_running: int) -> None:
        """Note what is settled; the look that follows sees all of it."""
        if self._candidate and oldest_running >= self._transaction:
            self._settled, self._candidate = self._candidate, 0

    def after_look(self, last: int | None) -> None:
        """Rise to what was seen of the settled ids; `last` is where the look ended, if it did."""
        reached = self._settled if last is None else min(last, self._settled)
        self.value = max(self.value, reached)

    def lower(self, below: int | None) -> None:
        """Something at this id has to be looked at again."""
        if below is not None:
            self.value = min(self.value, below - 1)
