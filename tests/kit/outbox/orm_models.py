"""The models of an application that uses the ORM, on the tables of `outbox_world`."""

from __future__ import annotations

from sqlalchemy import BigInteger, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from outbox import Envelope


class Base(DeclarativeBase):
    """Their own MetaData."""


class Effect(Base):
    """A row of `effects`."""

    __tablename__ = "effects"
    id: Mapped[int] = mapped_column(primary_key=True)
    aggregate_id: Mapped[str] = mapped_column(Text)
    sequence: Mapped[int] = mapped_column(BigInteger)


class Taken(Base):
    """A row of `taken`: `CREATE TABLE taken (number int PRIMARY KEY)`."""

    __tablename__ = "taken"
    number: Mapped[int] = mapped_column(primary_key=True)


def effect(event: Envelope) -> Effect:
    """The effect that the tests count."""
    return Effect(aggregate_id=event.stream.aggregate_id, sequence=event.sequence)
