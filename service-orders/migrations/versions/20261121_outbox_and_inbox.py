"""Outbox and inbox.

Revises: nothing
"""

from __future__ import annotations

from alembic import op

from outbox import schema

revision = "orders_0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    schema.create_outbox(op)
    schema.create_inbox(op)


def downgrade() -> None:
    schema.drop_inbox(op)
    schema.drop_outbox(op)
