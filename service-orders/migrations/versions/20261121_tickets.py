"""Tickets, their comments and their history.

Revises: orders_0005
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "orders_0006"
down_revision = "orders_0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "tickets",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("status_version", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(True), nullable=False),
        sa.Column("updated_at", sa.DateTime(True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("tickets_pkey")),
        postgresql_with={"fillfactor": 80},
    )
    op.create_index("tickets_by_email", "tickets", ["email", "id"])
    op.create_index("tickets_by_status", "tickets", ["status", "id"])
    op.create_index("tickets_by_email_and_status", "tickets", ["email", "status", "id"])
    op.create_table(
        "ticket_comments",
        sa.Column("ticket_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(True), nullable=False),
        sa.ForeignKeyConstraint(
            ["ticket_id"], ["tickets.id"], name=op.f("ticket_comments_ticket_id_fkey")
        ),
        sa.PrimaryKeyConstraint("ticket_id", "version", name=op.f("ticket_comments_pkey")),
        sa.UniqueConstraint("id", name=op.f("ticket_comments_id_key")),
    )
    op.create_table(
        "ticket_history",
        sa.Column("ticket_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(True), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("caused_by", sa.Uuid()),
        sa.ForeignKeyConstraint(
            ["ticket_id"], ["tickets.id"], name=op.f("ticket_history_ticket_id_fkey")
        ),
        sa.PrimaryKeyConstraint("ticket_id", "version", name=op.f("ticket_history_pkey")),
    )


def downgrade() -> None:
    op.drop_table("ticket_history")
    op.drop_table("ticket_comments")
    op.drop_table("tickets")
