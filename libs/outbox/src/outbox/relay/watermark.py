"""From which id on the relay has to read.

An id is drawn before its transaction commits, so a row may appear below rows read long ago. An id
is final once every transaction that could have drawn it or a lower one is over: once none of those
that held a lock on the outbox table after the id was drawn holds it any more (decision 0405).
Transactions that write elsewhere do not matter, however long they run.

Reading from the watermark skips the index entries of published rows, which a long snapshot keeps
alive (decision 0402).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class LowWatermark:
    """Every id up to `value` is final, and published, in flight or backed off by this relay."""

    value: int = 0
    _final: int = 0
    _candidate: int = 0
    _writers: frozenset[bytes] = frozenset()

    def observe(self, highest_id: int, writers: frozenset[bytes]) -> None:
        """An id was drawn; after that, these transactions had written and were still open.

        Everything that this makes final is visible to the reads that follow.
        """
        if self._candidate and not self._writers & writers:
            self._final, self._candidate = self._candidate, 0
        if not self._candidate and highest_id > self._final:
            if writers:
                self._candidate, self._writers = highest_id, writers
            else:
                self._final = highest_id

    def covers(self, highest_id: int) -> bool:
        """Whether no row above the watermark can exist: no id above it was drawn."""
        return highest_id <= self.value

    def rise(self, last_read: int | None) -> None:
        """Rise to the last id that was read; to the last final id if nothing was left to read."""
        reached = self._final if last_read is None else min(last_read, self._final)
        self.value = max(self.value, reached)

    def lower(self, below: int | None) -> None:
        """The row of this id has to be read again."""
        if below is not None:
            self.value = min(self.value, below - 1)
