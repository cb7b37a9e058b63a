"""Bookings and their history, and the copy of the restaurants.

Revises: orders_0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "orders_0005"
down_revision = "orders_0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _create_bookings()
    _create_restaurants()


def _create_bookings() -> None:
    op.create_table(
        "bookings",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("restaurant_id", sa.BigInteger(), nullable=False),
        sa.Column("timezone", sa.Text(), nullable=False),
        sa.Column("starts_at", sa.DateTime(True), nullable=False),
        sa.Column("duration_minutes", sa.Integer(), nullable=False),
        sa.Column("guests_count", sa.Integer(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("table_id", sa.BigInteger()),
        sa.Column("created_at", sa.DateTime(True), nullable=False),
        sa.Column("updated_at", sa.DateTime(True), nullable=False),
        sa.CheckConstraint("guests_count > 0", name=op.f("bookings_guests_check")),
        sa.CheckConstraint("duration_minutes > 0", name=op.f("bookings_duration_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("bookings_pkey")),
    )
    op.create_index("bookings_by_age", "bookings", ["created_at", "id"])
    op.create_index("bookings_by_restaurant", "bookings", ["restaurant_id", "created_at", "id"])
    op.create_index("bookings_by_status", "bookings", ["status", "created_at", "id"])
    op.create_index(
        "bookings_by_restaurant_and_status",
        "bookings",
        ["restaurant_id", "status", "created_at", "id"],
    )
    op.create_table(
        "booking_history",
        sa.Column("booking_id", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(True), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("caused_by", sa.Uuid()),
        sa.ForeignKeyConstraint(
            ["booking_id"], ["bookings.id"], name=op.f("booking_history_booking_id_fkey")
        ),
        sa.PrimaryKeyConstraint("booking_id", "number", name=op.f("booking_history_pkey")),
    )


def _create_restaurants() -> None:
    op.create_table(
        "restaurants",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("description", sa.Text()),
        sa.Column("timezone", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("restaurants_pkey")),
    )
    op.create_index("restaurants_by_age", "restaurants", ["created_at", "id"])
    op.create_table(
        "restaurant_tables",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("restaurant_id", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("seats", sa.Integer(), nullable=False),
        sa.Column("location", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["restaurant_id"],
            ["restaurants.id"],
            name=op.f("restaurant_tables_restaurant_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("restaurant_tables_pkey")),
    )
    op.create_index(
        "restaurant_tables_by_size", "restaurant_tables", ["restaurant_id", "seats", "id"]
    )


def downgrade() -> None:
    for table in ("restaurant_tables", "restaurants", "booking_history", "bookings"):
        op.drop_table(table)
