"""The tables of tickets, declared by the dataclasses of their rows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    PrimaryKeyConstraint,
    UniqueConstraint,
)

from service_orders.domains.tickets.states import TicketStatus
from service_orders.metadata import metadata
from servicekit.database.tables import table_of
from servicekit.service.history import History


@dataclass(frozen=True, slots=True)
class Ticket:
    """A ticket without its comments."""

    id: UUID
    subject: str
    text: str
    email: str
    status: TicketStatus
    # Every change increases it by one, also a comment; each version has one event.
    version: int
    # The version of the last transition, which the automatic close compares.
    status_version: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment on a ticket."""

    id: UUID
    ticket_id: Annotated[UUID, ForeignKey("tickets.id")]
    email: str
    text: str
    created_at: datetime


tickets = table_of(
    Ticket,
    "tickets",
    metadata,
    PrimaryKeyConstraint("id"),
    # Each serves one filter of the list. Ids are UUIDv7, so the highest id is the newest ticket.
    Index("tickets_by_email", "email", "id"),
    Index("tickets_by_status", "status", "id"),
    Index("tickets_by_email_and_status", "email", "status", "id"),
    # Room in each page for the row's next version, because tickets change often.
    postgresql_with={"fillfactor": 80},
)

# A comment or an entry of the history belongs to one version of its ticket. Versions order them as
# they were committed, whatever the clocks of several processes say.
ticket_comments = table_of(
    Comment,
    "ticket_comments",
    metadata,
    Column("version", BigInteger, nullable=False),
    PrimaryKeyConstraint("ticket_id", "version"),
    UniqueConstraint("id"),
)

ticket_history = History("ticket", tickets, by_version=True)
