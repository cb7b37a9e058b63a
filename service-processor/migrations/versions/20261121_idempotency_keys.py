"""Idempotency keys.

Revises: processor_0002
"""

from __future__ import annotations

from alembic import op

from servicekit.http.idempotency_keys import (
    create_idempotency_keys,
    drop_idempotency_keys,
)

revision = "processor_0004"
down_revision = "processor_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    create_idempotency_keys(op.get_bind())


def downgrade() -> None:
    drop_idempotency_keys(op.get_bind())
