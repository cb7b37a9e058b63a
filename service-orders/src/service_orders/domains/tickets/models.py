"""The tables of tickets, and the dataclasses of their rows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, Column, DateTime, ForeignKey, Index, Table, Text, Uuid

from service_orders.domains.tickets.states import TicketStatus
from service_orders.metadata import metadata
from servicekit.service.history import History

tickets = Table(
    "tickets",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("subject", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("email", Text, nullable=False),
    Column("status", Text, nullable=False),
    # Every change increases it by one, also a comment; each version has one event.
    Column("version", BigInteger, nullable=False),
    # The version of the last transition, which the automatic close compares.
    Column("status_version", BigInteger, nullable=False),
    Column("created_at", DateTime(True), nullable=False),
    Column("updated_at", DateTime(True), nullable=False),
    # Each serves one filter of the list. Ids are UUIDv7, so the highest id is the newest ticket.
    Index("tickets_by_email", "email", "id"),
    Index("tickets_by_status", "status", "id"),
    Index("tickets_by_email_and_status", "email", "status", "id"),
    # Room in each page for the row's next version, because tickets change often.
    postgresql_with={"fillfactor": 80},
)

# A comment or an entry of the history belongs to one version of its ticket. Versions order them as
# they were committed, whatever the clocks of several processes say.
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

ticket_history = History("ticket", tickets, by_version=True)


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
    """A comment on a ticket."""

    id: UUID
    ticket_id: UUID
    email: str
    text: str
    created_at: datetime
