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
from outbox.errors import InvalidEvent, OutboxError, Unreadable
from outbox.event import Envelope, Event, Stream
from outbox.failures import RetryPolicy
from outbox.inbox.consumer import Consumer
from outbox.inbox.handlers import Handler, Handlers, handle_many, ignore
from outbox.inbox.inbox import Inbox
from outbox.inbox.settings import ConsumerSettings, InboxSettings
from outbox.inbox.tables import declare_inbox
from outbox.inbox.unsequenced import UnsequencedMessages
from outbox.log.outbox import Outbox
from outbox.log.unit_of_work import SingleWrite, UnitOfWork
from outbox.log.work import Work
from outbox.postgres.day_partitions import DayPartitions
from outbox.postgres.notify import Notifier
from outbox.postgres.partition_maintenance import Maintenance
from outbox.rabbitmq.subscription import Subscription
from outbox.rabbitmq.topology import Topology
from outbox.relay.relay import Relay
from outbox.relay.settings import RelaySettings
from outbox.worker import Part, build_worker, open_work

__version__ = _version("outbox-rabbitmq")

__all__ = [
    "Application",
    "Consumer",
    "ConsumerSettings",
    "DayPartitions",
    "Envelope",
    "Event",
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
    "UnsequencedMessages",
    "Work",
    "build_worker",
    "declare_inbox",
    "errors",
    "handle_many",
    "ignore",
    "jobs",
    "open_work",
    "schema",
]
