"""Reservations of one table are a range of an index.

Revises: processor_0006
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "processor_0007"
down_revision = "processor_0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "allocations_reservations_of_table_by_age",
        "allocations",
        ["table_id", "created_at", "id"],
        postgresql_where=sa.text("booking_id IS NULL"),
    )


def downgrade() -> None:
    op.drop_index("allocations_reservations_of_table_by_age", table_name="allocations")
