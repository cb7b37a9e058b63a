"""Timelines and notifications of tickets.

Revises: processor_0005
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "processor_0006"
down_revision = "processor_0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "ticket_timeline",
        sa.Column("ticket_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(True), nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("status", sa.Text()),
        sa.Column("reason", sa.Text()),
        sa.Column("comment_id", sa.Uuid()),
        sa.Column("email", sa.Text()),
        sa.PrimaryKeyConstraint("ticket_id", "version", name=op.f("ticket_timeline_pkey")),
    )
    op.create_table(
        "ticket_notifications",
        sa.Column("ticket_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("previous", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("at", sa.DateTime(True), nullable=False),
        sa.PrimaryKeyConstraint("ticket_id", "version", name=op.f("ticket_notifications_pkey")),
    )


def downgrade() -> None:
    op.drop_table("ticket_notifications")
    op.drop_table("ticket_timeline")
