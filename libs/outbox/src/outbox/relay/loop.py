"""One connected life of a relay: read ahead, publish, settle. Nothing outlives it.

Reading and settling run side by side: the next window is read while the last ones are being
confirmed, and windows are settled in the order in which they were sent.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from outbox import failpoints
from outbox.adaptive_interval import AdaptiveInterval
from outbox.log.row import OutboxRow
from outbox.publisher.publisher import Publisher
from outbox.relay.backoff import Backoff
from outbox.relay.doorbell import Doorbell
from outbox.relay.housekeeping import Housekeeping
from outbox.relay.in_flight import InFlight
from outbox.relay.lanes import Lanes
from outbox.relay.log_reader import LogMarker, LogReader
from outbox.relay.settings import RelaySettings
from outbox.relay.settlement import Settlement, key_of
from outbox.relay.unroutable import Unroutable
from outbox.relay.watermark import LowWatermark
from outbox.supervise import run_until_first

log = logging.getLogger(__name__)

SHARE_EVERY = 1.0
NOTE_EVERY = 0.02


@dataclass
class RelayLoop:
    """The loop that reads and publishes, and what it shares with the one that settles."""

    reading: LogReader
    marking: LogMarker
    lanes: Lanes
    doorbell: Doorbell
    publisher: Publisher
    settings: RelaySettings
    clock: Callable[[], float]
    upkeep: Housekeeping
    unroutable: Unroutable
    suspects: set[int] = field(default_factory=set)
    """Events one of which made the broker close the channel: they go one by one."""
    holds: Backoff = field(default_factory=Backoff)
    floor: LowWatermark = field(default_factory=LowWatermark)
    in_flight: InFlight = field(default_factory=InFlight)

    def __post_init__(self) -> None:
        self._sharing = AdaptiveInterval(SHARE_EVERY, self.clock, ceiling=SHARE_EVERY)
        self._noting = AdaptiveInterval(NOTE_EVERY, self.clock)
        self._full_look = AdaptiveInterval(self.settings.rescan_interval, self.clock)
        self._settling = Settlement(
            marking=self.marking,
            in_flight=self.in_flight,
            holds=self.holds,
            clock=self.clock,
            unroutable=self.unroutable,
            on_unroutable=self.upkeep.rebind_soon,
        )

    async def work(self, stop: asyncio.Event) -> None:
        """Relay until told to stop; returns with nothing in flight, or when the time is up."""
        await run_until_first(
            self._read(stop),
            self._settling.run(),
            self.upkeep.run(self.holds, self.lanes),
            self.in_flight.heed(stop),
        )

    async def _read(self, stop: asyncio.Event) -> None:
        poll = self.settings.poll_first
        while not stop.is_set():
            await self._share_lanes(stop)
            await self._look_below()
            wanted = self._wanted
            read = await self._relay_window(stop) if self.lanes.owned else 0
            await self._note_writers()
            more = read >= wanted or (read > 0 and self.reading.cut_short)
            rung = more or await self.doorbell.wait(self._until_next(poll))
            first = read or rung
            poll = self.settings.poll_first if first else min(poll * 2, self.settings.poll_ceiling)
        await self._drain()

    async def _drain(self) -> None:
        try:
            async with asyncio.timeout(self.settings.drain_within):
                await self.in_flight.room(1)
        except TimeoutError:
            log.warning("%d windows have no answer yet and will go again", len(self.in_flight))
        else:
            failpoints.hit("relay.handing_over")

    async def _relay_window(self, stop: asyncio.Event) -> int:
        """Read and publish the next window; returns how many events it had."""
        at_most = 1 if self.suspects else self.settings.windows_in_flight
        if not await self.in_flight.room(at_most, stop):
            return 0
        entries = await self._look(self._wanted)
        if entries:
            failpoints.hit("relay.read")
            # Before anything is awaited: what fails from now on breaks this window as well.
            number = self.in_flight.next_number()
            await self.in_flight.add(number, entries, await self.publisher.send(entries))
            failpoints.hit("relay.written")
        return len(entries)

    async def _look(self, limit: int) -> list[OutboxRow]:
        due = self.holds.release_due(self.clock(), not_yet=self.in_flight.broken)
        self.floor.lower(due)
        entries = await self.reading.look(
            floor=self.floor.value,
            in_flight=self.in_flight.ids,
            held=self.holds.keys,
            limit=limit,
        )
        self.floor.after_look(entries[-1].id if entries else None)
        if self.suspects and (not entries or entries[-1].id > max(self.suspects)):
            self.suspects.clear()
        if not self.holds:
            return entries
        # An event may have failed while this was read; what follows it must not overtake.
        held = set(self.holds.keys)
        return [entry for entry in entries if key_of(entry) not in held]

    async def _note_writers(self) -> None:
        """Not with each window: asking for locks is felt by everybody who takes one."""
        if self._noting.is_due():
            self._noting.postpone()
            drawn = await self.reading.drawn()
            self.floor.note(drawn, await self.reading.writers())

    async def _share_lanes(self, stop: asyncio.Event) -> None:
        """Now and then take or hand over lanes; nothing is under way while one is handed over."""
        if not self._sharing.is_due():
            return
        with self._sharing.measured():
            if await self.lanes.surplus():
                if not await self.in_flight.room(1, stop):
                    return
                failpoints.hit("relay.handing_over")
                await self.lanes.release_surplus()
            if await self.lanes.take_share():
                failpoints.hit("relay.lane_acquired")
                self.floor = LowWatermark()
                # What the last owner parked has followers, which must not overtake it.
                self._full_look.hurry()
            self.reading.choose(self.lanes.owned, self.lanes.total)

    async def _look_below(self) -> None:
        """Now and then, or when asked to, look for what came back to life under the floor."""
        rescan = self.doorbell.take_rescan()
        if not (rescan or self._full_look.is_due()):
            return
        if rescan:
            # A person has changed something: what is backed off may be what was changed.
            self.holds.hurry(self.clock())
        with self._full_look.measured():
            self.floor.lower(self.holds.park_only(await self.marking.parked()))
            self.floor.lower(
                await self.reading.lowest(
                    ceiling=self.floor.value, in_flight=self.in_flight.ids, held=self.holds.keys
                )
            )

    @property
    def _wanted(self) -> int:
        return 1 if self.suspects else self.settings.window

    def _until_next(self, poll: float) -> float:
        """Seconds to wait for a ring: no longer than until a retry is due."""
        held = self.holds.next_due(self.clock())
        return poll if held is None else min(poll, held)
