"""Outbox and inbox.

Revises: nothing
"""

from __future__ import annotations

from alembic import op

from outbox import schema

revision = "processor_0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    schema.create_outbox(op.get_bind())
    schema.create_inbox(op.get_bind())


def downgrade() -> None:
    schema.drop_inbox(op.get_bind())
    schema.drop_outbox(op.get_bind())
