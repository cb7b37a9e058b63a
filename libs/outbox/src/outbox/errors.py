"""The errors of the library, as a tree.

OutboxError
├── InvalidSetting        an argument that can never work (also a ValueError)
├── InvalidEvent          an event that could never be delivered; refused when added
│   └── EventTooLarge
├── TopologyMismatch      the broker has or allows other queues than the declared ones
├── QueueInUse            a queue cannot be migrated while others consume it
├── BrokerRefused         the broker refuses the user, password or virtual host
├── DatabaseRefused       the database refuses the user or password, or does not exist
├── LanesMismatch         a relay was set up for another number of lanes than the database
├── SchemaBehind          the database lacks tables, or has older ones than the code
├── DatabaseEncoding      the database's texts are not UTF-8
├── AutocommitRefused     events or effects on a connection where each statement commits alone
├── TransactionEnded      code ended a transaction lent to it, or went on after breaking it
├── HandlerCancelled      a handler raised a cancellation that was not asked for
├── TimeLimitExceeded     a handler took longer than its time limit and was cancelled
├── UnitEnded             a unit of work was used after its transaction
├── UnreadableMessage     a delivery that has no source, aggregate and sequence
├── Unreadable            a body that its handler cannot read: no retry can help
├── NotParked             no parked event at that sequence, or more than one
├── NothingMissing        no gap where one was to be skipped
├── NotThere              what an operator wants to change is not there, or no longer
├── ChangedSince          what an operator has seen is not what a change would move now
└── OperationInProgress   somebody else is making the same change
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from outbox.event import Stream


class OutboxError(Exception):
    """Base of all errors that this library raises on purpose."""


class InvalidSetting(OutboxError, ValueError):
    """An argument or a setting with which nothing can ever work. Never quotes an address."""

    def __init__(self, argument: str, rule: str) -> None:
        super().__init__(f"{argument} {rule}")
        self.argument = argument


class InvalidEvent(OutboxError):
    """An event breaks a limit of the outbox table or of AMQP."""

    def __init__(self, field: str, rule: str) -> None:
        super().__init__(f"event {field} {rule}")
        self.field = field


class EventTooLarge(InvalidEvent):
    """A body is over the limit of the outbox table."""

    def __init__(self, size: int, limit: int) -> None:
        super().__init__("payload", f"has {size} bytes; at most {limit} are allowed")


class TopologyMismatch(OutboxError):
    """The broker has other queues or exchanges than declared, or refuses them to this user."""

    def __init__(self, detail: str) -> None:
        super().__init__(f"the broker's topology differs from the declared one: {detail}")


class QueueInUse(OutboxError):
    """A queue has consumers, so that nobody knows which of its messages they have in hand."""

    def __init__(self, queue: str, consumers: int) -> None:
        super().__init__(
            f"queue {queue} is consumed by {consumers} others: stop the workers of the release"
            " before; those of this one wait until it is migrated"
        )


class BrokerRefused(OutboxError):
    """The broker answered with a refusal: wrong user, password, virtual host or permission."""

    def __init__(self, detail: str) -> None:
        super().__init__(f"the broker refuses us: {detail}")


class DatabaseRefused(OutboxError):
    """PostgreSQL answered with a refusal: wrong user or password, no database, no right."""

    def __init__(self, detail: str) -> None:
        super().__init__(f"the database refuses us: {detail}")


class LanesMismatch(OutboxError):
    """A relay with another number of lanes would own buckets that other relays own too."""

    def __init__(self, ours: int, theirs: int) -> None:
        super().__init__(f"this relay is set to {ours} lanes, the database to {theirs}")


class SchemaBehind(OutboxError):
    """The database lacks tables of a group, or has them in an older version than this code."""

    def __init__(self, group: str, problem: str) -> None:
        super().__init__(problem)
        self.group = group


class DatabaseEncoding(OutboxError):
    """Texts go from the outbox table to the broker unchanged, and events are UTF-8."""

    def __init__(self, encoding: str) -> None:
        super().__init__(f"the outbox needs a database in UTF8, this one is in {encoding}")


class AutocommitRefused(OutboxError):
    """On a connection in autocommit every statement is a transaction of its own."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"{what} is in autocommit, so that an event or a position would be atomic with nothing:"
            " open a transaction first, or leave out isolation_level AUTOCOMMIT"
        )


class TransactionEnded(OutboxError):
    """Code that was lent a transaction committed it, rolled it back, or went on after an error.

    `may_be_committed` is true if its writes may have been committed.
    """

    def __init__(self, how: str, *, may_be_committed: bool = False) -> None:
        super().__init__(
            f"the code inside the transaction {how}: it is not the one to end the transaction;"
            " to take a part back use a savepoint (connection.begin_nested(), unit.session())"
        )
        self.may_be_committed = may_be_committed


class HandlerCancelled(OutboxError):
    """A task that a handler awaited was cancelled, and the handler raised that."""

    def __init__(self) -> None:
        super().__init__("CancelledError from within: nobody had cancelled the handler itself")


class TimeLimitExceeded(OutboxError):
    """A handler was cancelled because it took too long. Its cause is what it raised then."""

    def __init__(self, seconds: float, waited_at: str) -> None:
        super().__init__(f"cancelled after {seconds:g} s (time_limit); it waited at {waited_at}")
        self.waited_at = waited_at


class UnitEnded(OutboxError):
    """Nothing can be written by a unit of work after its block, or its handler, has ended."""

    def __init__(self, cause: object) -> None:
        super().__init__(
            f"the unit of work of {cause or 'this block'} has ended, nothing was written:"
            " await every write before the handler returns"
        )


class UnreadableMessage(OutboxError):
    """A delivery cannot be attributed to a source, aggregate and sequence."""

    def __init__(self, field: str) -> None:
        super().__init__(f"message without a usable {field}")


class Unreadable(OutboxError):
    """For handlers: this body cannot be read. It is parked at once, and not tried again."""


class NotParked(OutboxError):
    """No event is parked at this sequence of the stream, or more than one."""

    def __init__(self, stream: Stream, found: Sequence[object]) -> None:
        there = (
            f"{len(found)} are there: {', '.join(map(str, found))}" if found else "none is there"
        )
        super().__init__(f"not exactly one such event of {stream} is parked; {there}")


class NothingMissing(OutboxError):
    """A gap was to be skipped where there is none. Without `waiting` no event waits behind it."""

    def __init__(self, stream: Stream, first: int, last: int, waiting: int | None) -> None:
        behind = f"{waiting} waits" if waiting else "no event waits beyond, they may be yet to come"
        super().__init__(f"{stream} waits for nothing missing from {first} to {last}: {behind}")


class NotThere(OutboxError):
    """An operator wants to change what does not exist, or exists no longer."""


class ChangedSince(OutboxError):
    """What an operator has seen is not what a change would move now. Nothing was changed.

    `seen` and `now` are of one kind, such as two previews.
    """

    def __init__(self, seen: object, now: object) -> None:
        super().__init__(f"this has changed since: it was {seen}, now it is {now}")
        self.seen = seen
        self.now = now


class OperationInProgress(OutboxError):
    """Somebody else is making the same change of the same thing."""

    def __init__(self, what: str, target: str, by: str, since: datetime | None) -> None:
        when = f" since {since:%Y-%m-%d %H:%M:%S%z}" if since else ""
        super().__init__(f"{what} of {target} is being done by {by}{when}")
        self.by = by
        self.since = since
