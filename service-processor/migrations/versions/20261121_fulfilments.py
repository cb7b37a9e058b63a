"""What was decided about orders.

Revises: processor_0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "processor_0002"
down_revision = "processor_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "fulfilments",
        sa.Column("order_id", sa.Uuid(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("processed_at", sa.DateTime(True), nullable=False),
        sa.PrimaryKeyConstraint("order_id", name=op.f("fulfilments_pkey")),
    )


def downgrade() -> None:
    op.drop_table("fulfilments")
