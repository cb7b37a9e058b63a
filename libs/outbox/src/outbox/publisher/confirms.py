"""Counting confirms: which events of a channel have an answer (RabbitMQ, "Publisher Confirms").

The broker numbers what is published on a channel 1, 2, 3 … Each window is a run of these tags. An
answer for one tag, or for all up to a tag, is a few operations on bytes, not one for each event.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Final

from outbox.publisher.publisher import Outcome

_PENDING: Final = 0
_OUTCOMES: Final = {1: Outcome.ACKED, 2: Outcome.NACKED, 3: Outcome.RETURNED}
_CODES: Final = {outcome: code for code, outcome in _OUTCOMES.items()}


class Window:
    """The events of one write: tags `first`, `first + 1`, …"""

    def __init__(self, first: int, message_ids: Sequence[bytes]) -> None:
        self.first = first
        self.last = first + len(message_ids) - 1
        self.answered = asyncio.Event()
        self._message_ids = message_ids
        self._answers = bytearray(len(message_ids))
        self._pending = len(message_ids)
        self._unanswered = Outcome.TIMED_OUT
        if not message_ids:
            self.answered.set()

    def answer(self, start: int, stop: int, outcome: Outcome) -> None:
        """Answer the tags from `start` to `stop` inclusive that have no answer yet."""
        low, high = max(start, self.first) - self.first, min(stop, self.last) - self.first + 1
        if self._answers.count(_PENDING, low, high) == high - low:
            self._answers[low:high] = bytes((_CODES[outcome],)) * (high - low)
            self._pending -= high - low
        else:
            self._answer_rest(low, high, _CODES[outcome])
        if not self._pending:
            self.answered.set()

    def _answer_rest(self, low: int, high: int, code: int) -> None:
        for index in range(low, high):
            if self._answers[index] == _PENDING:
                self._answers[index] = code
                self._pending -= 1

    def mark_returned(self, message_id: bytes) -> bool:
        """A message came back; its ack follows. False if it is not in this window."""
        try:
            index = self._message_ids.index(message_id)
        except ValueError:
            return False
        self.answer(self.first + index, self.first + index, Outcome.RETURNED)
        return True

    def end(self, unanswered: Outcome) -> None:
        """No more answers will come."""
        if self._pending:
            self._unanswered = unanswered
            self.answered.set()

    def outcomes(self) -> list[Outcome]:
        """The outcome of each event, in order."""
        return [_OUTCOMES.get(code, self._unanswered) for code in self._answers]


class Confirms:
    """The windows of one channel that still wait for answers."""

    def __init__(self) -> None:
        self._windows: deque[Window] = deque()
        self._next_tag = 1

    def open_window(self, message_ids: Sequence[bytes]) -> Window:
        """Open a window for the next messages. Call it in the order of writing."""
        window = Window(self._next_tag, message_ids)
        self._next_tag = window.last + 1
        self._windows.append(window)
        return window

    def answer(self, tag: int, outcome: Outcome, *, multiple: bool) -> None:
        """The broker has answered for a tag, or for all tags up to it."""
        for window in self._windows:
            if window.first > tag:
                break
            if window.last >= tag or multiple:
                window.answer(window.first if multiple else tag, tag, outcome)
        while self._windows and self._windows[0].answered.is_set():
            self._windows.popleft()

    def mark_returned(self, message_id: bytes) -> None:
        """A message could not be routed."""
        for window in self._windows:
            if window.mark_returned(message_id):
                return

    def end(self, unanswered: Outcome) -> None:
        """The channel is lost: no window will get more answers."""
        while self._windows:
            self._windows.popleft().end(unanswered)
