"""What the inbox's version 2 has more.

Revises: orders_0003
"""

from __future__ import annotations

from alembic import op

from outbox import schema

revision = "orders_0004"
down_revision = "orders_0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    schema.upgrade_inbox_to_2(op.get_bind())


def downgrade() -> None:
    schema.downgrade_inbox_to_1(op.get_bind())
