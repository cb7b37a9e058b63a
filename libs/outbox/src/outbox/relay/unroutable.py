"""Events that no queue takes: logged once for each type, not with each attempt."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from outbox.log.row import OutboxRow

logger = logging.getLogger(__name__)

_MESSAGE = (
    "no queue takes events of type %s, published to exchange %s: they and all that is behind them"
    " in their aggregates wait. Bind a queue to this type (a Subscription in the Topology), or give"
    " the events up by `outbox discard`; the first is %s"
)


class Unroutable:
    """The event types that an exchange returned and that no queue has taken since."""

    def __init__(self, exchange: str) -> None:
        self._exchange = exchange
        self._types: set[bytes] = set()

    def returned(self, rows: Iterable[OutboxRow]) -> None:
        """These came back. A tombstone needs no advice: the relay gives it up by itself."""
        for row in rows:
            if row.type not in self._types and not row.envelope().is_tombstone:
                self._types.add(row.type)
                logger.warning(_MESSAGE, row.type.decode(), self._exchange, row.event_id.decode())

    def sent(self, rows: Iterable[OutboxRow]) -> None:
        """A queue took these: if their types come back once more, that is news."""
        if self._types:
            self._types.difference_update(row.type for row in rows)
