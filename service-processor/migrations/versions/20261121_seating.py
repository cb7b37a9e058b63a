"""Restaurants, tables, their allocations, what was decided about bookings, and the audit's place.

Revises: processor_0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "processor_0005"
down_revision = "processor_0004"
branch_labels = None
depends_on = None

# VOLATILE, so that each statement inside takes a new snapshot (PostgreSQL, "Function Volatility
# Categories"): what is looked at after the lock is newer than the lock. One call each: the write
# they guard is one round trip. The SQLSTATEs are of a class that is free for applications.
_USABLE_TABLE = """
CREATE FUNCTION usable_table(wanted bigint) RETURNS bigint LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  PERFORM FROM restaurants r
    JOIN tables t ON t.restaurant_id = r.id WHERE t.id = wanted FOR NO KEY UPDATE OF r;
  PERFORM FROM tables WHERE id = wanted AND deleted_at IS NULL;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'there is no table %', wanted USING ERRCODE = 'TB404';
  END IF;
  RETURN wanted;
END $$
"""
_UNUSED_TABLE = """
CREATE FUNCTION unused_table(wanted bigint, since timestamptz) RETURNS bigint
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  PERFORM usable_table(wanted);
  PERFORM FROM allocations WHERE table_id = wanted AND period && tstzrange(since, NULL);
  IF FOUND THEN
    RAISE EXCEPTION 'table % is in use', wanted USING ERRCODE = 'TB409';
  END IF;
  RETURN wanted;
END $$
"""
_GIVEN_BACK = """
CREATE FUNCTION given_back_reservation(wanted bigint) RETURNS allocations
LANGUAGE plpgsql VOLATILE AS $$
DECLARE given_back allocations;
BEGIN
  PERFORM FROM restaurants r
    JOIN tables t ON t.restaurant_id = r.id JOIN allocations a ON a.table_id = t.id
    WHERE a.id = wanted FOR NO KEY UPDATE OF r;
  DELETE FROM allocations WHERE id = wanted AND booking_id IS NULL RETURNING * INTO given_back;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'there is no reservation %', wanted USING ERRCODE = 'RS404';
  END IF;
  RETURN given_back;
END $$
"""
_FUNCTIONS = (
    "usable_table(bigint)",
    "unused_table(bigint, timestamptz)",
    "given_back_reservation(bigint)",
)


def upgrade() -> None:
    op.execute("CREATE EXTENSION IF NOT EXISTS btree_gist")
    _create_restaurants()
    _create_allocations()
    _create_decisions()
    for function in (_USABLE_TABLE, _UNUSED_TABLE, _GIVEN_BACK):
        op.execute(function)


def _create_restaurants() -> None:
    op.create_table(
        "restaurants",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("description", sa.Text()),
        sa.Column("timezone", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("restaurants_pkey")),
    )
    op.create_index("restaurants_by_age", "restaurants", ["created_at", "id"])
    op.create_table(
        "tables",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("restaurant_id", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("seats", sa.Integer(), nullable=False),
        sa.Column("location", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(True), nullable=False),
        sa.Column("deleted_at", sa.DateTime(True)),
        sa.ForeignKeyConstraint(
            ["restaurant_id"], ["restaurants.id"], name=op.f("tables_restaurant_id_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("tables_pkey")),
    )
    there = {"postgresql_where": sa.text("deleted_at IS NULL")}
    op.create_index("tables_by_size", "tables", ["restaurant_id", "seats", "id"], **there)
    op.create_index("tables_by_age", "tables", ["created_at", "id"], **there)
    op.create_index(
        "tables_by_restaurant_and_age", "tables", ["restaurant_id", "created_at", "id"], **there
    )


def _create_allocations() -> None:
    op.create_table(
        "allocations",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("table_id", sa.BigInteger(), nullable=False),
        sa.Column("period", postgresql.TSTZRANGE(), nullable=False),
        sa.Column("booking_id", sa.BigInteger()),
        sa.Column("customer_name", sa.Text()),
        sa.Column("created_at", sa.DateTime(True), nullable=False),
        sa.CheckConstraint(
            "(booking_id IS NULL) <> (customer_name IS NULL)",
            name=op.f("allocations_holder_check"),
        ),
        sa.CheckConstraint(
            "NOT isempty(period) AND lower_inc(period) AND NOT upper_inc(period)"
            " AND NOT lower_inf(period) AND NOT upper_inf(period)",
            name=op.f("allocations_period_check"),
        ),
        sa.ForeignKeyConstraint(
            ["table_id"], ["tables.id"], name=op.f("allocations_table_id_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("allocations_pkey")),
        sa.UniqueConstraint("booking_id", name=op.f("allocations_booking_id_key")),
        postgresql.ExcludeConstraint(
            ("table_id", "="), ("period", "&&"), name="allocations_no_overlap", using="gist"
        ),
    )
    op.create_index(
        "allocations_reservations_by_age",
        "allocations",
        ["created_at", "id"],
        postgresql_where=sa.text("booking_id IS NULL"),
    )
    op.create_table(
        "releases",
        sa.Column("allocation_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("table_id", sa.BigInteger(), nullable=False),
        sa.Column("period", postgresql.TSTZRANGE(), nullable=False),
        sa.Column("booking_id", sa.BigInteger()),
        sa.Column("released_at", sa.DateTime(True), nullable=False),
        sa.PrimaryKeyConstraint("allocation_id", name=op.f("releases_pkey")),
    )


def _create_decisions() -> None:
    op.create_table(
        "booking_decisions",
        sa.Column("booking_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("restaurant_id", sa.BigInteger(), nullable=False),
        sa.Column("period", postgresql.TSTZRANGE(), nullable=False),
        sa.Column("guests_count", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("table_id", sa.BigInteger()),
        sa.Column("obstacles", postgresql.JSONB(), nullable=False),
        sa.Column("decided_at", sa.DateTime(True), nullable=False),
        sa.Column("cancelled_at", sa.DateTime(True)),
        sa.PrimaryKeyConstraint("booking_id", name=op.f("booking_decisions_pkey")),
    )
    op.create_table(
        "audit_positions",
        sa.Column("stream", sa.Text(), nullable=False),
        sa.Column("next_offset", sa.BigInteger(), nullable=False),
        sa.Column("head_offset", sa.BigInteger(), nullable=False),
        sa.Column("head_event_id", sa.Uuid()),
        sa.Column("updated_at", sa.DateTime(True), nullable=False),
        sa.PrimaryKeyConstraint("stream", name=op.f("audit_positions_pkey")),
    )
    op.create_table(
        "seeds",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("planted_at", sa.DateTime(True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("seeds_pkey")),
    )


def downgrade() -> None:
    for function in reversed(_FUNCTIONS):
        op.execute(f"DROP FUNCTION {function}")
    for table in (
        "seeds",
        "audit_positions",
        "booking_decisions",
        "releases",
        "allocations",
        "tables",
        "restaurants",
    ):
        op.drop_table(table)
    # The extension stays: somebody else may have come to use it.
