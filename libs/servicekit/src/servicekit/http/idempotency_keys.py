"""The table of idempotency keys: claimed under a lock, stored in the request's own transaction.

A key is found by a digest of method, path and key: 16 bytes in the index, however long they are.
Invariant: the holder of the digest's advisory lock alone decides whether the request runs, and the
primary key is the proof: a second answer to one key cannot be committed. See decision 0102.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg
from psycopg.types.json import Jsonb
from sqlalchemy import (
    Column,
    Connection,
    DateTime,
    Index,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

__all__ = [
    "Claim",
    "StoredAnswer",
    "claim",
    "create_idempotency_keys",
    "declare_idempotency_keys",
    "drop_idempotency_keys",
    "store",
]

# One round trip for lock and read. It has to be VOLATILE PL/pgSQL: each of its statements takes a
# new snapshot (PostgreSQL, "Function Volatility Categories"), so the read is newer than the lock.
_CREATE_CLAIM = """
CREATE FUNCTION idempotency_claim(
  wanted uuid, OUT free boolean,
  OUT fingerprint uuid, OUT status smallint, OUT headers jsonb, OUT body bytea
) LANGUAGE plpgsql VOLATILE AS $$
DECLARE found_key idempotency_keys;
BEGIN
  free := pg_try_advisory_xact_lock(uuid_hash_extended(wanted, 0));
  SELECT * INTO found_key FROM idempotency_keys WHERE digest = wanted;
  IF found_key.expires_at > now() THEN
    fingerprint := found_key.fingerprint;
    status := found_key.status;
    headers := found_key.headers;
    body := found_key.body;
  ELSIF free AND found_key.digest IS NOT NULL THEN
    DELETE FROM idempotency_keys WHERE digest = wanted;
  END IF;
END $$
"""
_CLAIM = "SELECT free, fingerprint, status, headers, body FROM idempotency_claim(%s)"

# Rounded up to the minute: equal values share an entry of the index (B-tree deduplication), which
# makes it a third of the size. See decision 0103.
_KEEP = """
INSERT INTO idempotency_keys (digest, fingerprint, status, expires_at, headers, body)
VALUES (%s, %s, %s, date_trunc('minute', now() + %s) + interval '1 minute', %s, %b)
"""


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """An answer as it was sent; it is replayed byte for byte."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Claim:
    """What is known of a key: whether this transaction may use it, and the stored answer."""

    free: bool
    fingerprint: UUID | None
    answer: StoredAnswer | None


def declare_idempotency_keys(metadata: MetaData) -> None:
    """Declare `idempotency_keys`; a migration creates it with `create_idempotency_keys`."""
    keys = Table(
        "idempotency_keys",
        metadata,
        Column("digest", Uuid, primary_key=True),
        Column("fingerprint", Uuid, nullable=False),
        Column("status", SmallInteger, nullable=False),
        Column("expires_at", DateTime(True), nullable=False),
        Column("headers", JSONB, nullable=False),
        Column("body", LargeBinary, nullable=False),
    )
    # `delete_expired_batch` asks for expired keys, oldest first.
    Index("idempotency_keys_expiry", keys.c.expires_at)


def create_idempotency_keys(connection: Connection) -> None:
    """Create the table and the function that claims a key, for a migration."""
    metadata = MetaData()
    declare_idempotency_keys(metadata)
    metadata.create_all(connection, checkfirst=False)
    connection.execute(text(_CREATE_CLAIM))


def drop_idempotency_keys(connection: Connection) -> None:
    """Undo `create_idempotency_keys`, with all keys."""
    connection.execute(text("DROP FUNCTION idempotency_claim(uuid)"))
    connection.execute(text("DROP TABLE idempotency_keys"))


async def claim(connection: AsyncConnection, digest: UUID) -> Claim:
    """Claim the key until the transaction ends, unless another has it; return what is stored."""
    cursor = await _driver(connection).execute(_CLAIM, (digest,), binary=True)
    row = await cursor.fetchone()
    assert row is not None
    free, fingerprint, *stored = row
    return Claim(free, fingerprint, StoredAnswer(*stored) if fingerprint else None)


async def store(
    connection: AsyncConnection,
    digest: UUID,
    fingerprint: UUID,
    answer: StoredAnswer,
    lifetime: timedelta,
) -> None:
    """Store the answer to a key that was claimed in this transaction."""
    row = (digest, fingerprint, answer.status, lifetime, Jsonb(answer.headers), answer.body)
    await _driver(connection).execute(_KEEP, row)


def _driver(connection: AsyncConnection) -> psycopg.AsyncConnection[Any]:
    """The psycopg connection under an open transaction: half the time per statement."""
    assert connection.sync_connection is not None
    driver = connection.sync_connection.connection.driver_connection
    assert isinstance(driver, psycopg.AsyncConnection)
    return driver


_DELETE_EXPIRED = text("""
WITH expired AS (
  SELECT digest FROM idempotency_keys WHERE expires_at <= now()
   ORDER BY expires_at LIMIT :limit FOR UPDATE SKIP LOCKED
)
DELETE FROM idempotency_keys WHERE digest = ANY(ARRAY(SELECT digest FROM expired))
""")


async def delete_expired_batch(connection: AsyncConnection, limit: int) -> int:
    """Delete at most so many expired keys; rows that another worker deletes are left to it."""
    return (await connection.execute(_DELETE_EXPIRED, {"limit": limit})).rowcount
