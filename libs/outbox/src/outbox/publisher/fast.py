"""The fast publisher: ready frames, one write a window, counted confirms."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

from outbox.log.row import OutboxRow
from outbox.publisher.aiormq_channel import RawChannel
from outbox.publisher.confirms import Confirms, Window
from outbox.publisher.frames import Frames, Unsendable
from outbox.publisher.publisher import LOOKS, Outcome


class FastPublisher:
    """On a channel of its own, which nothing else may publish on."""

    def __init__(
        self, wire: RawChannel, exchange: str, *, patience: float, user: str | None = None
    ) -> None:
        self._wire = wire
        self._frames = Frames(exchange, channel=wire.number, frame_max=wire.frame_max, user=user)
        self._patience = patience
        self._confirms = Confirms()
        self._signs = 0
        wire.listen(self._answered, self._returned, self._closed)

    async def send(self, entries: Sequence[OutboxRow]) -> _Flight:
        """Write a window at once. Returns when the connection's writer has taken it."""
        frames: list[bytes] = []
        refused: set[int] = set()
        for place, entry in enumerate(entries):
            try:
                frames.append(self._frames.of(entry))
            except Unsendable:
                refused.add(place)
        sent = [entry.event_id for place, entry in enumerate(entries) if place not in refused]
        window = self._confirms.open_window(sent)
        try:
            await self._wire.write(b"".join(frames))
        except ConnectionError:
            window.end(Outcome.TIMED_OUT)
        return _Flight(self, window, len(entries), refused)

    async def wait_for(self, window: Window) -> None:
        """Wait for the window's answers, or until the broker has been silent for too long.

        Looks are counted, not seconds: while this process stands still nobody could be heard.
        """
        silent = 0
        while silent < LOOKS:
            signs = self._signs
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._patience / LOOKS):
                    await window.answered.wait()
                    return
            heard = self._signs > signs or await self._wire.is_blocked()
            silent = 0 if heard else silent + 1

    def _answered(self, tag: int, multiple: bool, acked: bool) -> None:
        self._signs += 1
        outcome = Outcome.ACKED if acked else Outcome.NACKED
        self._confirms.answer(tag, outcome, multiple=multiple)

    def _returned(self, message_id: bytes) -> None:
        self._signs += 1
        self._confirms.give_back(message_id)

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
            Outcome.REFUSED if place in self._refused else next(rest) for place in range(self._size)
        ]
