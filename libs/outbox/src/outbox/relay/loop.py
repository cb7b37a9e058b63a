"""One connected life of a relay: read ahead, publish, settle. Its state ends with its connections.

Reading and settling run side by side: the next window is read while earlier ones wait for their
confirms, and windows are settled in the order in which they were sent.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from outbox import failpoints
from outbox.delays import AdaptiveInterval
from outbox.log.relay_queries import OutboxMarker, OutboxReader
from outbox.log.row import OutboxRow
from outbox.postgres.controls import Valve
from outbox.publisher.publisher import Publisher
from outbox.relay.backoff import Backoff
from outbox.relay.beacons import Beacons
from outbox.relay.doorbell import Doorbell
from outbox.relay.housekeeping import Housekeeping
from outbox.relay.in_flight import InFlight
from outbox.relay.lanes import Lanes
from outbox.relay.settings import RelaySettings
from outbox.relay.settlement import Settlement, Unroutable
from outbox.relay.unrouted import UnroutedEvents
from outbox.relay.watermark import LowWatermark
from outbox.supervise import pause, run_until_first

logger = logging.getLogger(__name__)

SHARE_EVERY = 1.0
OBSERVE_EVERY, OBSERVE_FEW_EVERY = 0.02, 0.25
FEW = 100
"""Events that a fetch passes over at little cost, because they are published and not yet final."""
ASK_AGAIN = 0.05
"""Seconds until a relay with a control looks again whether it may go on."""


@dataclass
class RelayLoop:
    """The loop that reads and publishes, and what it shares with settlement and housekeeping."""

    reader: OutboxReader
    marker: OutboxMarker
    lanes: Lanes
    doorbell: Doorbell
    publisher: Publisher
    settings: RelaySettings
    clock: Callable[[], float]
    housekeeping: Housekeeping
    beacons: Beacons
    unroutable: Unroutable
    valve: Valve
    unrouted: UnroutedEvents | None = None
    suspects: set[int] = field(default_factory=set)
    """Rows one of which made the broker close the channel: they go one by one (decision 0403)."""
    backoff: Backoff = field(default_factory=Backoff)
    watermark: LowWatermark = field(default_factory=LowWatermark)
    in_flight: InFlight = field(default_factory=InFlight)

    def __post_init__(self) -> None:
        self._sharing = AdaptiveInterval(SHARE_EVERY, self.clock, ceiling=SHARE_EVERY)
        self._observing = AdaptiveInterval(OBSERVE_EVERY, self.clock)
        self._observing_few = AdaptiveInterval(OBSERVE_FEW_EVERY, self.clock)
        self._unobserved = 0
        self._rescanning = AdaptiveInterval(self.settings.rescan_interval, self.clock)
        self._highest_id = 0
        self._settlement = Settlement(
            marker=self.marker,
            in_flight=self.in_flight,
            backoff=self.backoff,
            clock=self.clock,
            unroutable=self.unroutable,
            on_unroutable=self.housekeeping.rebind_soon,
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Relay until told to stop; returns with nothing in flight, or when the time is up."""
        await run_until_first(
            self._publish(stop),
            self._settlement.run(),
            self.housekeeping.run(self.backoff, self.lanes),
            self.beacons.run(self.lanes),
            self.in_flight.wake_on(stop),
            *([self.unrouted.run()] if self.unrouted else []),
        )

    async def _publish(self, stop: asyncio.Event) -> None:
        interval, rung = self.settings.poll_first, True
        while not stop.is_set():
            await self._share_lanes(stop)
            await self._rescan()
            wanted = self.valve.grant(self._wanted)
            read = 0
            if wanted and self.lanes.owned and (rung or await self._may_have_more()):
                read = await self._publish_window(wanted, stop)
            self.valve.give_back(wanted - read)
            self._unobserved += read
            if self._unobserved >= FEW or self._observing_few.is_due():
                await self._advance_watermark()
            more = 0 < wanted <= read or (read > 0 and self.reader.cut_short)
            rung = more or await self._wait(interval, stop)
            interval = self._next_interval(interval, is_busy=rung or read > 0)
        await self._drain()

    async def _may_have_more(self) -> bool:
        """Whether a fetch could find something though nobody has rung."""
        self._release_due()
        self._observing.hurry()
        await self._advance_watermark()
        return not self.watermark.covers(self._highest_id)

    def _next_interval(self, interval: float, *, is_busy: bool) -> float:
        """Seconds until the next poll. It need not be soon while a ring would be heard."""
        if self.doorbell.is_heard:
            return self.settings.poll_ceiling
        return (
            self.settings.poll_first if is_busy else min(interval * 2, self.settings.poll_ceiling)
        )

    async def _drain(self) -> None:
        try:
            async with asyncio.timeout(self.settings.drain_within):
                await self.in_flight.wait_for_room(1)
        except TimeoutError:
            logger.warning("%d windows have no answer yet and will go again", len(self.in_flight))
        else:
            failpoints.hit("relay.handing_over")

    async def _wait(self, interval: float, stop: asyncio.Event) -> bool:
        """Wait for a ring; true if there was one. A control makes the relay deaf to rings."""
        if self.valve.control is None:
            return await self.doorbell.wait(self._until_next(interval))
        await pause(stop, ASK_AGAIN)
        return False

    async def _publish_window(self, wanted: int, stop: asyncio.Event) -> int:
        """Read and publish the next window; returns how many events it had."""
        at_most = 1 if self.suspects else self.settings.windows_in_flight
        if not await self.in_flight.wait_for_room(at_most, stop):
            return 0
        rows = await self._fetch(wanted)
        if rows:
            failpoints.hit("relay.read")
            # Before the first await: an event that fails from now on breaks this window as well.
            number = self.in_flight.next_number()
            await self.in_flight.add(number, rows, await self.publisher.send(rows))
            failpoints.hit("relay.written")
        return len(rows)

    async def _fetch(self, limit: int) -> list[OutboxRow]:
        self._release_due()
        rows = await self.reader.fetch(
            above=self.watermark.value,
            in_flight=self.in_flight.ids,
            backed_off=self.backoff.keys,
            limit=limit,
        )
        self.watermark.rise(rows[-1].id if rows else None)
        if self.suspects and (not rows or rows[-1].id > max(self.suspects)):
            self.suspects.clear()
        if not self.backoff:
            return rows
        # An event may have failed during the fetch: events behind it must not overtake it.
        backed_off = set(self.backoff.keys)
        return [row for row in rows if row.aggregate not in backed_off]

    def _release_due(self) -> None:
        """Let aggregates be read again whose time of backoff is up."""
        due = self.backoff.release_due(self.clock(), not_yet=self.in_flight.broken)
        self.watermark.lower(due)

    async def _advance_watermark(self) -> None:
        """Not with each window: reading the locks slows down everybody who takes one."""
        if self._observing.is_due():
            self._observing.postpone()
            self._observing_few.postpone()
            self._unobserved = 0
            self._highest_id, writers = await self.reader.observe()
            self.watermark.observe(self._highest_id, writers)

    async def _share_lanes(self, stop: asyncio.Event) -> None:
        """Now and then acquire or release lanes; nothing is in flight while one is released."""
        if not self._sharing.is_due():
            return
        with self._sharing.measured():
            if await self.lanes.has_surplus():
                if not await self.in_flight.wait_for_room(1, stop):
                    return
                failpoints.hit("relay.handing_over")
                await self.lanes.release_surplus()
            if await self.lanes.acquire_share():
                failpoints.hit("relay.lane_acquired")
                self.watermark = LowWatermark()
                # Events that the last owner parked have followers, which must not overtake them.
                self._rescanning.hurry()
            self.reader.select_lanes(self.lanes.owned, self.lanes.total)

    async def _rescan(self) -> None:
        """Now and then, or when asked to, find rows below the watermark to be published again."""
        asked = self.doorbell.pop_rescan()
        if not (asked or self._rescanning.is_due()):
            return
        if asked:
            # A person has changed something: perhaps an event that is backed off.
            self.backoff.hurry(self.clock())
        with self._rescanning.measured():
            self.watermark.lower(self.backoff.park_only(await self.marker.parked()))
            self.watermark.lower(
                await self.reader.lowest_unpublished(
                    up_to=self.watermark.value,
                    in_flight=self.in_flight.ids,
                    backed_off=self.backoff.keys,
                )
            )

    @property
    def _wanted(self) -> int:
        return 1 if self.suspects else self.settings.window

    def _until_next(self, interval: float) -> float:
        """Seconds to wait for a ring: no longer than until a retry is due."""
        retry = self.backoff.next_due(self.clock())
        return interval if retry is None else min(interval, retry)
