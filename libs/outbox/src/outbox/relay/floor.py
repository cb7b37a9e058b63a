"""How far down the relay has to look.

An id is drawn before its transaction commits, so that a row may appear below rows seen long
ago. An id F is settled once every transaction that could have drawn a lower one is over: when
the oldest running transaction is at or past the xmax recorded after F was seen. Looking from
there skips the index entries of rows already published, which a long transaction keeps alive.
"""

from __future__ import annotations

from outbox.relay.log import Snapshot


class Floor:
    """Every id at or below `value` is settled, and published or held by this relay."""

    def __init__(self) -> None:
        self.value = 0
        self._seen = 0
        self._candidate: tuple[int, int] | None = None
        self._settled = False

    def before_look(self, snapshot: Snapshot) -> None:
        """Note what is settled; the look that follows sees all of it."""
        if self._candidate is None and self._seen > self.value:
            self._candidate = (self._seen, snapshot.xmax)
        elif self._candidate is not None:
            self._settled = snapshot.xmin >= self._candidate[1]

    def after_window(self, last: int | None, *, exhausted: bool) -> None:
        """Rise, once a look from below has handled all that is settled up to the candidate.

        `last` is the highest id of the window, `exhausted` whether nothing was left above it.
        """
        self._seen = max(self._seen, last or 0)
        if self._candidate is None or not self._settled:
            return
        if exhausted or self._seen >= self._candidate[0]:
            self.value, self._candidate, self._settled = self._candidate[0], None, False

    def reset(self) -> None:
        """Look at everything again: for new lanes, held events and replayed ones."""
        self.__init__()  # type: ignore[misc]
