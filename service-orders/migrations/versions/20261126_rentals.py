"""Rentals, what is unique about them, and what is known of their users.

Revises: orders_0006
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from outbox import DayPartitions

revision = "orders_0007"
down_revision = "orders_0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "rentals",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("started_at", sa.DateTime(True), nullable=False),
        sa.Column("offer_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("scooter_id", sa.Text(), nullable=False),
        sa.Column("zone_id", sa.Text(), nullable=False),
        sa.Column("price_per_minute", sa.BigInteger(), nullable=False),
        sa.Column("price_unlock", sa.BigInteger(), nullable=False),
        sa.Column("deposit", sa.BigInteger(), nullable=False),
        sa.Column("free_ride_seconds", sa.Integer(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("payment_status", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("active_at", sa.DateTime(True)),
        sa.Column("finished_at", sa.DateTime(True)),
        sa.Column("total_amount", sa.BigInteger(), nullable=False, server_default=sa.text("0")),
        sa.Column("history", JSONB(), nullable=False),
        sa.CheckConstraint("total_amount >= 0", name=op.f("rentals_total_check")),
        sa.PrimaryKeyConstraint("id", "started_at", name=op.f("rentals_pkey")),
        postgresql_partition_by="RANGE (started_at)",
    )
    op.create_index("rentals_by_age", "rentals", ["started_at", "id"])
    op.create_index("rentals_by_user", "rentals", ["user_id", "started_at", "id"])
    op.create_index("rentals_by_status", "rentals", ["status", "started_at", "id"])
    op.execute(DayPartitions("rentals", "started_at", ahead=7).first_days("rentals"))
    op.create_table(
        "open_rentals",
        sa.Column("scooter_id", sa.Text(), nullable=False),
        sa.Column("rental_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("scooter_id", name=op.f("open_rentals_pkey")),
    )
    op.create_table(
        "used_offers",
        sa.Column("offer_id", sa.Uuid(), nullable=False),
        sa.Column("expires_at", sa.DateTime(True), nullable=False),
        sa.PrimaryKeyConstraint("offer_id", name=op.f("used_offers_pkey")),
    )
    op.create_index("used_offers_by_expiry", "used_offers", ["expires_at"])
    op.create_table(
        "user_summary",
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("rides_count", sa.BigInteger(), nullable=False, server_default=sa.text("0")),
        sa.Column("debt", sa.BigInteger(), nullable=False, server_default=sa.text("0")),
        sa.Column("last_payment_status", sa.Text()),
        sa.CheckConstraint("debt >= 0", name=op.f("user_summary_debt_check")),
        sa.PrimaryKeyConstraint("user_id", name=op.f("user_summary_pkey")),
    )


def downgrade() -> None:
    op.drop_table("user_summary")
    op.drop_table("used_offers")
    op.drop_table("open_rentals")
    op.drop_table("rentals")
