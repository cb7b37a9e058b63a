"""The relay: from the outbox table to the broker, in order per aggregate.

Invariant: a row is marked published only after the broker has confirmed it and did not return it.
An event whose relay dies in between is published again; the inbox applies it once.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import AsyncExitStack
from types import NoneType

from aio_pika.abc import AbstractConnection

from outbox import metrics
from outbox.addresses import Broker, BrokerAddress, Database, DatabaseAddress
from outbox.argument_checks import instance, named
from outbox.errors import InvalidSetting
from outbox.log.beacon_queries import BeaconQueries
from outbox.log.relay_queries import Connection, OutboxMarker, OutboxReader, Schedule
from outbox.log.tables import OUTBOX_TABLES
from outbox.postgres.controls import OUTBOX_CONTROLS, Valve
from outbox.postgres.notifications import Notifications
from outbox.postgres.sessions import open_lock_session
from outbox.postgres.table_groups import check
from outbox.publisher.beacons import BeaconPublisher
from outbox.publisher.open import ensure_topology, open_publisher
from outbox.publisher.publisher import Publisher
from outbox.rabbitmq.connection import close, connect
from outbox.rabbitmq.declarer import Declarer
from outbox.rabbitmq.topology import Topology
from outbox.relay.beacons import Beacons
from outbox.relay.doorbell import Doorbell
from outbox.relay.housekeeping import Housekeeping
from outbox.relay.lanes import Lanes
from outbox.relay.loop import RelayLoop
from outbox.relay.settings import RelaySettings
from outbox.relay.settlement import ChannelClosed, Unroutable
from outbox.relay.unrouted import UnboundQueues, UnroutedEvents
from outbox.supervise import Enduring, Up, keep_running

logger = logging.getLogger(__name__)


class Relay:
    """Publishes the outbox table of one database to one exchange. Any number may run at a time."""

    def __init__(
        self,
        *,
        database_url: Database,
        broker_url: Broker,
        exchange: str,
        topology: Topology,
        settings: RelaySettings | None = None,
        notifications: Notifications | None = None,
    ) -> None:
        """`notifications` are those of this process for the same database, if there are any.

        Raises `InvalidSetting` for what can never work.
        """
        instance("topology", topology, Topology)
        instance("settings", settings, RelaySettings, NoneType)
        self._database = DatabaseAddress.of(database_url)
        self._broker = BrokerAddress.of(broker_url)
        self._exchange = named("exchange", exchange)
        if exchange not in topology.exchanges:
            known = ", ".join(topology.exchanges) or "none"
            raise InvalidSetting("exchange", f"{exchange!r} is not in the topology; it has {known}")
        self._topology = topology
        self._notifications = notifications or Notifications(self._database)
        self._settings = settings or RelaySettings()
        self._loop: RelayLoop | None = None
        self._suspects: set[int] = set()
        self._unroutable = Unroutable(exchange)
        self._unbound = UnboundQueues(exchange)
        self._valve = Valve(OUTBOX_CONTROLS, exchange)
        self._lanes_owned = metrics.LANES_OWNED.labels(exchange)

    @property
    def running(self) -> bool:
        """Whether both connections are up."""
        return self._loop is not None

    @property
    def is_paused(self) -> bool:
        """Whether a person has paused it: it keeps its lanes and publishes nothing."""
        return self._valve.is_closed

    @property
    def unbound_queues(self) -> tuple[str, ...]:
        """Queues that do not get their events, because their bindings are missing."""
        return self._unbound.names

    @property
    def lanes(self) -> frozenset[int]:
        """The lanes that this relay owns; none while it stands by."""
        return self._loop.lanes.owned if self._loop else frozenset()

    async def run(self, stop: asyncio.Event) -> None:
        """Relay until told to stop, through any loss of database or broker.

        Raises what needs a person: `BrokerRefused` or `DatabaseRefused` at the first connection,
        `SchemaBehind` or `LanesMismatch` at any. A queue that is not as declared stops nothing
        else; see `outbox.rabbitmq.declarer`.
        """
        enduring = Enduring("relay")
        await keep_running(
            "relay", lambda up: enduring.run(lambda: self._run_session(up, stop), stop), stop
        )

    async def _run_session(self, up: Up, stop: asyncio.Event) -> None:
        async with AsyncExitStack() as stack:
            loop = await self._open(stack)
            self._loop = loop
            up(f"publishes to exchange {self._exchange}")
            try:
                await loop.run(stop)
            except ChannelClosed:
                self._suspects = loop.in_flight.row_ids()
                logger.warning("%d events go again one by one", len(self._suspects))
                raise
            finally:
                self._loop = None
                self._lanes_owned.set(0)

    async def _open(self, stack: AsyncExitStack) -> RelayLoop:
        """Broker first: a relay that cannot publish must not own lanes."""
        broker = await connect(self._broker, "outbox relay")
        stack.push_async_callback(close, broker)
        declarer = self._declarer(broker)
        await ensure_topology(self._topology, declarer)
        publisher = await self._open_publisher(broker)
        doorbell = Doorbell(self._notifications, self._exchange)
        await stack.enter_async_context(doorbell.listening())
        reader, lock_session, lanes = await self._open_database(stack)
        stack.enter_context(doorbell.listening_alone(lambda: lanes.own_all))
        marker = OutboxMarker(lock_session)
        await marker.open()
        housekeeping = Housekeeping(
            marker=marker,
            schedule=Schedule(lock_session),
            doorbell=doorbell,
            ensure_topology=lambda: ensure_topology(self._topology, declarer),
            clock=time.monotonic,
            topology_check=self._settings.topology_check,
            exchange=self._exchange,
            valve=self._valve,
        )
        return RelayLoop(
            reader=reader,
            marker=marker,
            lanes=lanes,
            doorbell=doorbell,
            publisher=publisher,
            settings=self._settings,
            clock=time.monotonic,
            housekeeping=housekeeping,
            beacons=self._beacons(lock_session, BeaconPublisher(broker, publisher.user)),
            unroutable=self._unroutable,
            valve=self._valve,
            suspects=self._pop_suspects(),
            unrouted=self._unrouted(broker, declarer),
        )

    async def _open_publisher(self, broker: AbstractConnection) -> Publisher:
        return await open_publisher(
            broker,
            self._topology.entry(self._exchange),
            patience=self._settings.confirm_timeout,
            frames=self._settings.frames,
        )

    def _beacons(self, lock_session: Connection, publisher: BeaconPublisher) -> Beacons:
        return Beacons(BeaconQueries(lock_session), publisher, self._settings.beacon_every)

    def _declarer(self, broker: AbstractConnection) -> Declarer:
        needed = (self._exchange, self._topology.entry(self._exchange))
        return Declarer(
            broker,
            self._topology.parts([self._exchange]),
            needed=[f"exchange {name}" for name in needed],
            confirms=True,
            own=self._exchange,
        )

    def _unrouted(self, broker: AbstractConnection, declarer: Declarer) -> UnroutedEvents | None:
        """Needed where an event that its queue did not get is confirmed (decision 1801)."""
        if not self._topology.stream_queues:
            return None
        return UnroutedEvents(
            broker=broker,
            database=self._database,
            exchange=self._exchange,
            topology=self._topology,
            ensure_topology=lambda: ensure_topology(self._topology, declarer),
            refused=declarer.refused,
            topology_check=self._settings.topology_check,
            clock=time.monotonic,
            unbound=self._unbound,
        )

    def _pop_suspects(self) -> set[int]:
        suspects, self._suspects = self._suspects, set()
        return suspects

    async def _open_database(self, stack: AsyncExitStack) -> tuple[OutboxReader, Connection, Lanes]:
        """Two connections: a lock session owns the lanes and marks, the other reads."""
        lock_session = await stack.enter_async_context(
            await open_lock_session(self._database, "outbox relay")
        )
        await check(lock_session, [OUTBOX_TABLES])
        await self._valve.read(lock_session)
        reading = await stack.enter_async_context(
            await open_lock_session(
                self._database, "outbox relay reading", client_encoding="SQL_ASCII"
            )
        )
        reader, lanes = OutboxReader(reading), Lanes(lock_session)
        await reader.open()
        await lanes.join(self._settings.lanes)
        return reader, lock_session, lanes
