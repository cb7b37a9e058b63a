"""The library's tables, orders and meals."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from outbox import schema

revision = "0001"
down_revision = None


def upgrade() -> None:
    schema.create_outbox(op)
    schema.create_inbox(op)
    op.create_table(
        "orders",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("meal", sa.String, nullable=False),
    )
    op.create_table(
        "meals",
        sa.Column("order_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("meal", sa.String, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("meals")
    op.drop_table("orders")
    schema.drop_inbox(op)
    schema.drop_outbox(op)
