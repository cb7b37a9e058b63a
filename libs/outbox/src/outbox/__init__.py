"""Transactional outbox, relay and inbox for PostgreSQL and RabbitMQ.

outbox = Outbox("my-service", metadata)          # declares its tables
await outbox.add(connection, event)              # in your own transaction
await Relay(...).run(stop)                       # in a process of its own, or several
await Consumer(...).run(stop)                    # on the other side

What is raised on purpose is in `outbox.errors`; those that an application raises or catches in its
own code are here too.
"""

from importlib.metadata import version as _version

from outbox import errors, jobs, schema
from outbox.application import Application
from outbox.consume import baseline, parking, streams
from outbox.consume.consumer import Consumer
from outbox.consume.foreign import Foreign
from outbox.consume.handlers import Handler, Handlers, handle_many, ignore
from outbox.consume.inbox import Inbox
from outbox.consume.retry import RetryPolicy
from outbox.consume.settings import ConsumerSettings, InboxSettings
from outbox.consume.tables import declare_inbox
from outbox.envelope import Envelope, Event, Stream
from outbox.errors import InvalidEvent, OutboxError, Unreadable
from outbox.operate.maintenance import Maintenance
from outbox.operate.partitions import DayPartitions
from outbox.parts import Part, open_work, worker_parts
from outbox.relay.relay import Relay
from outbox.relay.settings import RelaySettings
from outbox.subscription import Subscription
from outbox.topology import Topology
from outbox.write.notifier import Notifier
from outbox.write.outbox import Outbox
from outbox.write.unit import SingleWrite, UnitOfWork
from outbox.write.work import Work

__version__ = _version("outbox-rabbitmq")

__all__ = [
    "Application",
    "Consumer",
    "ConsumerSettings",
    "DayPartitions",
    "Envelope",
    "Event",
    "Foreign",
    "Handler",
    "Handlers",
    "Inbox",
    "InboxSettings",
    "InvalidEvent",
    "Maintenance",
    "Notifier",
    "Outbox",
    "OutboxError",
    "Part",
    "Relay",
    "RelaySettings",
    "RetryPolicy",
    "SingleWrite",
    "Stream",
    "Subscription",
    "Topology",
    "UnitOfWork",
    "Unreadable",
    "Work",
    "baseline",
    "declare_inbox",
    "errors",
    "handle_many",
    "ignore",
    "jobs",
    "open_work",
    "parking",
    "schema",
    "streams",
    "worker_parts",
]
