"""How far down the relay has to look.

An id is drawn before its transaction commits, so that a row may appear below rows seen long
ago. An id F is settled once every transaction that could have drawn a lower one is over: when
the oldest running transaction is at or past the xmax recorded after F was seen. Looking from
there skips the index entries of rows already published, which a long transaction keeps alive.
"""

from __future__ import annotations

from dataclasses import dataclass

from outbox.relay.log import Snapshot


@dataclass
class Floor:
    """Every id at or below `value` is settled, and published or held by this relay."""

    value: int = 0
    _seen: int = 0
    _candidate: int | None = None
    _candidate_xmax: int = 0
    _settled: bool = False

    def before_look(self, snapshot: Snapshot) -> None:
        """Note what is settled; the look that follows sees all of it."""
        if self._candidate is not None:
            self._settled = snapshot.xmin >= self._candidate_xmax
        elif self._seen > self.value:
            self._candidate, self._candidate_xmax = self._seen, snapshot.xmax

    def after_window(self, last: int | None, *, exhausted: bool) -> None:
        """Rise, once a look from below has handled all that is settled up to the candidate.

        `last` is the highest id of the window, `exhausted` whether nothing was left above it.
        """
        reached = last or 0
        if self._settled and self._candidate and (exhausted or reached >= self._candidate):
            self.value, self._candidate, self._settled = self._candidate, None, False
        self._seen = max(self._seen, reached)

    def reset(self) -> None:
        """Look at everything again: for new lanes, held events and replayed ones."""
        self.value, self._seen, self._candidate, self._settled = 0, 0, None, False
