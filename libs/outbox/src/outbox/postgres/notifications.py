"""What one process hears of a database: one connection, however many of its parts listen.

Invariant: a part that listens is called after every notification, and whenever one may have been
missed. So a part that asks the database when it is called, and seldom besides, is not late. While
nothing can be heard (no connection, or a pooler in between) it asks often.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

from outbox.addresses import Database, DatabaseAddress
from outbox.losses import Server, database_lost, one_line
from outbox.outages import OUTAGES, Dependent
from outbox.postgres.listener import Listener
from outbox.postgres.sessions import connect
from outbox.supervise import end, outlive, run_until_first

logger = logging.getLogger(__name__)

OFTEN = 0.5
"""Seconds after which a part asks the database again while no notification can be heard."""
RECONNECT_AFTER = 1.0
HEARD_WITHIN = 5.0
PROOF = "outbox_proof"
"""The channel on which a connection finds out whether it hears anything."""

Hear = Callable[[str | None], None]
"""Gets a payload, or None: any may have been missed."""


class Notifications:
    """Listens while somebody is `hearing`; survives any loss of the database."""

    def __init__(self, database: Database) -> None:
        """Raises `InvalidSetting` if this is not a database's address."""
        self._address = DatabaseAddress.of(database)
        self._dependent = Dependent("notifications")
        self._hearers: defaultdict[str, list[Hear]] = defaultdict(list)
        self._alone: defaultdict[str, list[Callable[[], bool]]] = defaultdict(list)
        self._more_channels = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._warned = False
        self.are_heard = False
        """Whether a notification would be heard now."""

    @asynccontextmanager
    async def hearing(self, channel: str, hear: Hear) -> AsyncIterator[None]:
        """Within the block call `hear` with each payload, and with None if one may be missed."""
        self._hearers[channel].append(hear)
        self._more_channels.set()
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="notifications")
        try:
            yield
        finally:
            self._hearers[channel].remove(hear)
            if not any(self._hearers.values()):
                task, self._task = self._task, None
                await end(task)

    @contextmanager
    def hearing_alone(self, channel: str, hear: Callable[[], bool]) -> Iterator[None]:
        """Within the block, call `hear` before a notification without a payload is sent.

        It is true if it has heard it and no other process needs to.
        """
        self._alone[channel].append(hear)
        try:
            yield
        finally:
            self._alone[channel].remove(hear)

    def may_be_heard_here(self, channel: str) -> bool:
        """Whether a part of this process would hear it without PostgreSQL."""
        return bool(self._alone.get(channel))

    def heard_here(self, channel: str) -> bool:
        """Whether a part of this process has heard it alone, so that nothing has to be sent."""
        return any(hear() for hear in self._alone.get(channel, ()))

    def poll(self, seldom: float) -> float:
        """Seconds after which to ask the database without having heard anything."""
        return seldom if self.are_heard else min(seldom, OFTEN)

    async def _run(self) -> None:
        try:
            await outlive(self._session, self._note, asyncio.Event(), lambda: RECONNECT_AFTER)
        finally:
            OUTAGES.ended(self._dependent)

    def _note(self, problem: Exception) -> None:
        if database_lost(problem):
            OUTAGES.lost(self._dependent, Server.DATABASE, one_line(problem))
        else:
            logger.error("notifications failed and go on", exc_info=problem)

    async def _session(self) -> None:
        async with await connect(self._address, application_name="outbox listener") as connection:
            OUTAGES.found(self._dependent)
            listener = Listener(connection)
            try:
                while True:
                    await self._listen(listener)
                    # What came while the channels were added may be lost: all are called.
                    self._call_all()
                    await run_until_first(self._pass_on(listener), self._more_channels.wait())
            finally:
                self.are_heard = False
                self._call_all()

    async def _listen(self, listener: Listener) -> None:
        self._more_channels.clear()
        for channel in (PROOF, *self._hearers):
            await listener.listen(channel)
        self.are_heard = await listener.hears_itself(PROOF, HEARD_WITHIN)
        if not self.are_heard and not self._warned:
            logger.warning("LISTEN is accepted but nothing is heard: is there a pooler in between?")
        self._warned = not self.are_heard

    async def _pass_on(self, listener: Listener) -> None:
        async for channel, payload in listener.notifications():
            for hear in tuple(self._hearers.get(channel, ())):
                hear(payload)

    def _call_all(self) -> None:
        for hearers in tuple(self._hearers.values()):
            for hear in tuple(hearers):
                hear(None)
