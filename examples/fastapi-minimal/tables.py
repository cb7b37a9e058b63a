"""The application's own tables, and the library's beside them."""

from __future__ import annotations

import os

from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from outbox import Outbox, declare_inbox

DATABASE_URL = os.environ["DATABASE_URL"]  # postgresql://user:password@host:port/database
SQLALCHEMY_URL = DATABASE_URL.replace("postgresql://", "postgresql+psycopg://", 1)


class Base(DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = "orders"

    id: Mapped[int] = mapped_column(primary_key=True)
    meal: Mapped[str]


class Meal(Base):
    __tablename__ = "meals"

    order_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    meal: Mapped[str]


outbox = Outbox("shop", Base.metadata)  # "shop" is the source: the name of this application
declare_inbox(Base.metadata)
