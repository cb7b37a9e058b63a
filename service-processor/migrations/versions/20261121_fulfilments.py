"""What was decided about orders, and what is in stock for them.

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
        sa.Column("cancelled_at", sa.DateTime(True)),
        sa.PrimaryKeyConstraint("order_id", name=op.f("fulfilments_pkey")),
    )
    op.create_table(
        "products",
        sa.Column("product_id", sa.Text(), nullable=False),
        sa.Column("stock", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("stock >= 0", name=op.f("products_stock_check")),
        sa.PrimaryKeyConstraint("product_id", name=op.f("products_pkey")),
        postgresql_with={"fillfactor": 70},
    )
    op.create_table(
        "reserved_lines",
        sa.Column("order_id", sa.Uuid(), nullable=False),
        sa.Column("product_id", sa.Text(), nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("quantity > 0", name=op.f("reserved_lines_quantity_check")),
        sa.PrimaryKeyConstraint("order_id", "product_id", name=op.f("reserved_lines_pkey")),
    )


def downgrade() -> None:
    op.drop_table("reserved_lines")
    op.drop_table("products")
    op.drop_table("fulfilments")
