"""The tables of tickets, and what is read from them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, Column, DateTime, ForeignKey, Index, Table, Text, Uuid

from service_orders.domains.tickets.states import TicketStatus
from service_orders.metadata import metadata

tickets = Table(
    "tickets",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("subject", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("email", Text, nullable=False),
    Column("status", Text, nullable=False),
    # Every change counts it up, comments too; each version has one event.
    Column("version", BigInteger, nullable=False),
    # The version of the last transition: what the automatic close compares.
    Column("status_version", BigInteger, nullable=False),
    Column("created_at", DateTime(True), nullable=False),
    Column("updated_at", DateTime(True), nullable=False),
    # Lists go from the newest id down; ids are UUIDv7, so that newest means latest opened.
    Index("tickets_by_email", "email", "id"),
    Index("tickets_by_status", "status", "id"),
    Index("tickets_by_email_and_status", "email", "status", "id"),
    # Room in each page for the row's next version: a ticket changes all its life.
    postgresql_with={"fillfactor": 80},
)

# In both a row is the doing of one version of its ticket: their order is the order of commits,
# whatever the clocks of several processes say.
ticket_comments = Table(
    "ticket_comments",
    metadata,
    Column("ticket_id", ForeignKey("tickets.id"), primary_key=True),
    Column("version", BigInteger, primary_key=True),
    Column("id", Uuid, nullable=False, unique=True),
    Column("email", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("created_at", DateTime(True), nullable=False),
)

ticket_history = Table(
    "ticket_history",
    metadata,
    Column("ticket_id", ForeignKey("tickets.id"), primary_key=True),
    Column("version", BigInteger, primary_key=True),
    Column("status", Text, nullable=False),
    Column("at", DateTime(True), nullable=False),
    Column("reason", Text),
    Column("caused_by", Uuid),
)


@dataclass(frozen=True, slots=True)
class Ticket:
    """A ticket without its comments."""

    id: UUID
    subject: str
    text: str
    email: str
    status: TicketStatus
    version: int
    status_version: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Comment:
    """What somebody added to a ticket."""

    id: UUID
    ticket_id: UUID
    email: str
    text: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """A status that a ticket has had, and the event that caused it, if one did."""

    status: str
    at: datetime
    reason: str | None
    caused_by: UUID | None
