"""Events that no queue takes: said once for each type, not with each attempt."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from outbox.log.row import OutboxRow

logger = logging.getLogger(__name__)

_SAYS = (
    "no queue takes events of type %s, published to exchange %s: they and all that is behind them"
    " in their aggregates wait. Bind a queue to this type (a Subscription in the Topology), or give"
    " the events up by `outbox discard`; the first is %s"
)


class Unroutable:
    """The types that came back from one exchange, and have not been taken by a queue since."""

    def __init__(self, exchange: str) -> None:
        self._exchange = exchange
        self._types: set[bytes] = set()

    def returned(self, entries: Iterable[OutboxRow]) -> None:
        """These came back. A tombstone is given up by itself: there is nothing to advise."""
        for entry in entries:
            if entry.type not in self._types and not entry.envelope().is_tombstone:
                self._types.add(entry.type)
                logger.warning(_SAYS, *_words(entry.type, self._exchange, entry.event_id))

    def sent(self, entries: Iterable[OutboxRow]) -> None:
        """These were taken: should their types come back once more, that is news."""
        if self._types:
            self._types.difference_update(entry.type for entry in entries)


def _words(type_: bytes, exchange: str, event_id: bytes) -> tuple[str, str, str]:
    return type_.decode(), exchange, event_id.decode()
