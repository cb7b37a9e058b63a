"""One lost server is one line, however many parts of a process work with it.

The first part to lose it says so, the last to get it back says that. What goes on is said again
once a minute; each attempt in between is at DEBUG.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from outbox.losses import Server

logger = logging.getLogger(__name__)

AGAIN_AFTER = 60.0
LATE = 10.0
"""Seconds; a part that notices the loss this long after recovery is not logged."""


@dataclass(eq=False)
class Dependent:
    """Whoever works with a server, by the name that people know it by."""

    name: str


@dataclass
class _Outage:
    without: dict[Dependent, None] = field(default_factory=dict)
    said_at: float | None = None
    """When a WARNING was last written."""
    open: bool = False
    """Whether a WARNING was written that has no answer yet."""
    back_at: float | None = None


class Outages:
    """Which parts of this process are without which server."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._outages: dict[Server, _Outage] = defaultdict(_Outage)

    def lost(self, part: Dependent, server: Server, why: str, *, steady: bool = False) -> None:
        """This part is without that server; `steady` if it had it for a while before."""
        outage = self._outages[server]
        news = not outage.without
        outage.without[part] = None
        due = self._is_over(AGAIN_AFTER, outage.said_at)
        if not due and not (news and steady and self._is_over(LATE, outage.back_at)):
            logger.debug("%s lost %s, tries again: %s", part.name, server, why)
            return
        outage.said_at, outage.open = self._clock(), True
        if news:
            logger.warning("%s lost %s, tries again: %s", part.name, server, why)
        else:
            names = ", ".join(dict.fromkeys(each.name for each in outage.without))
            logger.warning("%s: still without %s, trying again: %s", names, server, why)

    def found(self, part: Dependent) -> None:
        """This part has all its servers."""
        for server, outage in self._outages.items():
            if part in outage.without:
                del outage.without[part]
                if not outage.without and outage.open:
                    outage.open, outage.back_at = False, self._clock()
                    logger.info("%s is back", server)

    def ended(self, part: Dependent) -> None:
        """This part has stopped, whatever it was without."""
        for outage in self._outages.values():
            outage.without.pop(part, None)
            outage.open = outage.open and bool(outage.without)

    def forget(self) -> None:
        """Begin anew, as a process does. For tests."""
        self._outages.clear()

    def _is_over(self, seconds: float, since: float | None) -> bool:
        return since is None or self._clock() - since >= seconds


OUTAGES = Outages()
"""Of this process."""
