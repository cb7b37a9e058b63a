"""One lost server is one log line, however many services of a process depend on it (1113).

The first dependent that loses the server logs it, the last that gets it back logs that. An outage
that goes on is logged again once a minute; each attempt in between is logged at DEBUG. What client
libraries log of connections of this library is left out meanwhile (`quiet`).
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache

from outbox.losses import Server

logger = logging.getLogger(__name__)

AGAIN_AFTER = 60.0
LATE = 10.0
"""Seconds after a recovery in which a late notice of the same loss is not logged."""


@dataclass(eq=False)
class Dependent:
    """A service that depends on a server, by the name that people know."""

    name: str


@dataclass
class _Outage:
    without: dict[Dependent, None] = field(default_factory=dict)
    logged_at: float | None = None
    """When a WARNING was last written."""
    open: bool = False
    """Whether a WARNING was written and its recovery was not."""
    back_at: float | None = None


class Outages:
    """Which dependents of this process are without which server."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._outages: dict[Server, _Outage] = defaultdict(_Outage)

    def lost(self, dependent: Dependent, server: Server, why: str, *, steady: bool = False) -> None:
        """A dependent has lost a server; `steady` if it had it for a while before."""
        outage = self._outages[server]
        news = not outage.without
        outage.without[dependent] = None
        due = self._is_over(AGAIN_AFTER, outage.logged_at)
        if not due and not (news and steady and self._is_over(LATE, outage.back_at)):
            logger.debug("%s lost %s, tries again: %s", dependent.name, server, why)
            return
        outage.logged_at, outage.open = self._clock(), True
        if news:
            logger.warning("%s lost %s, tries again: %s", dependent.name, server, why)
        else:
            names = ", ".join(dict.fromkeys(each.name for each in outage.without))
            logger.warning("%s: still without %s, trying again: %s", names, server, why)

    def found(self, dependent: Dependent) -> None:
        """A dependent has all its servers."""
        for server, outage in self._outages.items():
            if dependent in outage.without:
                del outage.without[dependent]
                if not outage.without and outage.open:
                    outage.open, outage.back_at = False, self._clock()
                    logger.info("%s is back", server)

    def ended(self, dependent: Dependent) -> None:
        """A dependent has stopped."""
        for outage in self._outages.values():
            outage.without.pop(dependent, None)
            outage.open = outage.open and bool(outage.without)

    def forget(self) -> None:
        """Forget everything. For tests."""
        self._outages.clear()

    def _is_over(self, seconds: float, since: float | None) -> bool:
        return since is None or self._clock() - since >= seconds


OUTAGES = Outages()
"""The outages of this process."""


_SILENCED: ContextVar[tuple[str, ...]] = ContextVar("outbox_quiet", default=())


_LOGGERS = {
    "aiormq": ("aiormq.connection", "aiormq.channel", "aio_pika"),
    "psycopg": ("psycopg",),
}
"""A filter works only on the logger that it is added to (logging, "Filter Objects")."""


@contextmanager
def quiet(library: str) -> Iterator[None]:
    """Within the block, and in tasks that begin in it, `library` logs nothing below CRITICAL."""
    _install(library)
    token = _SILENCED.set((*_SILENCED.get(), library))
    try:
        yield
    finally:
        _SILENCED.reset(token)


@cache
def _install(library: str) -> None:
    for name in _LOGGERS[library]:
        logging.getLogger(name).addFilter(_wanted)  # see decision 1113


def _wanted(record: logging.LogRecord) -> bool:
    silenced = any(record.name in _LOGGERS[library] for library in _SILENCED.get())
    critical = record.levelno >= logging.CRITICAL
    return not silenced or critical or logging.getLogger("outbox").isEnabledFor(logging.DEBUG)
