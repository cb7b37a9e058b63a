"""The money of rentals, and jobs that ask the payment provider.

Revises: processor_0007
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from outbox import schema

revision = "processor_0008"
down_revision = "processor_0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    schema.create_jobs(op)
    op.create_table(
        "payments",
        sa.Column("rental_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("deposit", sa.BigInteger(), nullable=False),
        sa.Column("total", sa.BigInteger()),
        sa.Column("hold", sa.Text()),
        sa.Column("clear", sa.Text()),
        sa.Column("release", sa.Text()),
        sa.Column("updated_at", sa.DateTime(True), nullable=False),
        sa.CheckConstraint("deposit >= 0 AND total >= 0", name=op.f("payments_amounts_check")),
        sa.PrimaryKeyConstraint("rental_id", name=op.f("payments_pkey")),
    )


def downgrade() -> None:
    op.drop_table("payments")
    schema.drop_jobs(op)
