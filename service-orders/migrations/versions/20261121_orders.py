"""Orders, their lines and their history.

Revises: orders_0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "orders_0002"
down_revision = "orders_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "orders",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("amount", sa.Numeric(12, 2), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("created_at", sa.DateTime(True), nullable=False),
        sa.Column("updated_at", sa.DateTime(True), nullable=False),
        sa.CheckConstraint("amount >= 0", name=op.f("orders_amount_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("orders_pkey")),
    )
    op.create_table(
        "order_lines",
        sa.Column("order_id", sa.Uuid(), nullable=False),
        sa.Column("product_id", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("quantity > 0", name=op.f("order_lines_quantity_check")),
        sa.ForeignKeyConstraint(
            ["order_id"], ["orders.id"], name=op.f("order_lines_order_id_fkey")
        ),
        sa.PrimaryKeyConstraint("order_id", "product_id", name=op.f("order_lines_pkey")),
    )
    op.create_index("orders_by_user", "orders", ["user_id", "id"])
    op.create_index("orders_by_status", "orders", ["status", "id"])
    op.create_index("orders_by_user_and_status", "orders", ["user_id", "status", "id"])
    op.create_table(
        "order_history",
        sa.Column("order_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(True), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("caused_by", sa.Uuid()),
        sa.ForeignKeyConstraint(
            ["order_id"], ["orders.id"], name=op.f("order_history_order_id_fkey")
        ),
        sa.PrimaryKeyConstraint("order_id", "number", name=op.f("order_history_pkey")),
    )


def downgrade() -> None:
    op.drop_table("order_history")
    op.drop_table("order_lines")
    op.drop_table("orders")
