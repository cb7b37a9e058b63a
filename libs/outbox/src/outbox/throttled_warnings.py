"""Warnings with a limit, so that a client cannot fill a log."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

WINDOW = 1.0
"""Seconds."""


class Throttled:
    """Logs a few lines a second; the next line after that says how many were left out."""

    def __init__(
        self,
        logger: logging.Logger,
        *,
        at_most: int = 1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._logger = logger
        self._at_most = at_most
        self._clock = clock
        self._ends = float("-inf")
        self._said = self._left_out = 0

    def warning(self, sentence: str, *values: object) -> None:
        """Log it, or count it."""
        now = self._clock()
        if now >= self._ends:
            self._ends, self._said = now + WINDOW, 0
        if self._said >= self._at_most:
            self._left_out += 1
            return
        if self._left_out:
            sentence, values = f"(%d like this were left out) {sentence}", (self._left_out, *values)
        self._logger.warning(sentence, *values)
        self._said, self._left_out = self._said + 1, 0
