"""The fast publisher: ready frames, one write for each window, counted confirms (decision 0401)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

from outbox.log.row import OutboxRow
from outbox.publisher.aiormq_channel import RawChannel
from outbox.publisher.confirms import Confirms, Window
from outbox.publisher.frames import Frames, Unsendable
from outbox.publisher.publisher import CHECKS, Outcome


class FastPublisher:
    """Publishes on a channel of its own; nothing else may publish on it."""

    def __init__(
        self, channel: RawChannel, exchange: str, *, patience: float, user: str | None = None
    ) -> None:
        self._channel = channel
        self._frames = Frames(
            exchange, channel=channel.number, frame_max=channel.frame_max, user=user
        )
        self._patience = patience
        self.user = user
        self._confirms = Confirms()
        self._answers = 0
        channel.listen(self._answered, self._returned, self._closed)

    async def send(self, rows: Sequence[OutboxRow]) -> _Flight:
        """Write a window. Returns when the connection's writer has it."""
        frames: list[bytes] = []
        refused: set[int] = set()
        for index, row in enumerate(rows):
            try:
                frames.append(self._frames.of(row))
            except Unsendable:
                refused.add(index)
        sent = [row.event_id for index, row in enumerate(rows) if index not in refused]
        window = self._confirms.open_window(sent)
        try:
            await self._channel.write(b"".join(frames))
        except ConnectionError:
            window.end(Outcome.TIMED_OUT)
        return _Flight(self, window, len(rows), refused)

    async def wait_for(self, window: Window) -> None:
        """Wait for the window's answers, or until the broker was silent for too long.

        Checks are counted, not seconds: a process that stands still cannot hear the broker.
        """
        silent = 0
        while silent < CHECKS:
            answers = self._answers
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._patience / CHECKS):
                    await window.answered.wait()
                    return
            heard = self._answers > answers or await self._channel.is_blocked()
            silent = 0 if heard else silent + 1

    def _answered(self, tag: int, multiple: bool, acked: bool) -> None:
        self._answers += 1
        outcome = Outcome.ACKED if acked else Outcome.NACKED
        self._confirms.answer(tag, outcome, multiple=multiple)

    def _returned(self, message_id: bytes) -> None:
        self._answers += 1
        self._confirms.mark_returned(message_id)

    def _closed(self, over_a_publish: bool) -> None:
        self._confirms.end(Outcome.CLOSED if over_a_publish else Outcome.TIMED_OUT)


class _Flight:
    def __init__(
        self, publisher: FastPublisher, window: Window, size: int, refused: set[int]
    ) -> None:
        self._publisher, self._window = publisher, window
        self._size, self._refused = size, refused

    async def outcomes(self) -> list[Outcome]:
        """See `Flight.outcomes`."""
        await self._publisher.wait_for(self._window)
        answers = self._window.outcomes()
        if not self._refused:
            return answers
        rest = iter(answers)
        return [
            Outcome.REFUSED if index in self._refused else next(rest) for index in range(self._size)
        ]
