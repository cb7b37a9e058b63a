"""The table of idempotency keys: claimed under a lock, kept in the request's own transaction.

A key is found by a digest of method, path and key: 16 bytes in the index, however long they are.
Invariant: only the holder of the digest's advisory lock writes for the request, and the primary key
is the proof: a second answer to one key cannot be committed. See decision 0102.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

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

from outbox import UnitOfWork

__all__ = [
    "TAKEN",
    "Found",
    "StoredAnswer",
    "claim",
    "create_idempotency_keys",
    "declare_idempotency_keys",
    "drop_idempotency_keys",
    "find",
    "keep",
]

TAKEN = "IK409"
"""The code of the error that a claim raises for a key that runs elsewhere, or has its answer."""

# It has to be VOLATILE PL/pgSQL: each of its statements takes a new snapshot (PostgreSQL, "Function
# Volatility Categories"), so the read is newer than the lock. It raises, because a transaction that
# goes on would write again.
_CREATE_CLAIM = f"""
CREATE FUNCTION idempotency_claim(wanted uuid) RETURNS void LANGUAGE plpgsql VOLATILE AS $$
DECLARE expiry timestamptz;
BEGIN
  IF NOT pg_try_advisory_xact_lock(uuid_hash_extended(wanted, 0)) THEN
    RAISE 'a request with this key is running' USING ERRCODE = '{TAKEN}';
  END IF;
  SELECT expires_at INTO expiry FROM idempotency_keys WHERE digest = wanted;
  IF expiry > now() THEN
    RAISE 'this key has its answer' USING ERRCODE = '{TAKEN}';
  ELSIF expiry IS NOT NULL THEN
    DELETE FROM idempotency_keys WHERE digest = wanted;
  END IF;
END $$
"""  # noqa: S608
_CLAIM = "SELECT idempotency_claim(%(digest)s)"

# Rounded up to the minute: equal values share an entry of the index (B-tree deduplication), which
# makes it a third of the size. See decision 0103.
_KEEP = """
INSERT INTO idempotency_keys (digest, fingerprint, status, expires_at, headers, body)
VALUES (%(digest)s, %(fingerprint)s, %(status)s,
        date_trunc('minute', now() + %(lifetime)s) + interval '1 minute', %(headers)s, %(body)b)
"""
_FIND = text("""
SELECT digest, fingerprint, status, headers, body
  FROM idempotency_keys WHERE digest = ANY(:digests) AND expires_at > now()
""").columns(digest=Uuid, fingerprint=Uuid, status=SmallInteger, headers=JSONB, body=LargeBinary)


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """An answer as it was sent; it is replayed byte for byte."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Found:
    """What is stored under a key."""

    fingerprint: UUID
    answer: StoredAnswer


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


async def claim(unit: UnitOfWork, digest: UUID) -> None:
    """Claim the key until the transaction ends. The error TAKEN may come with a later statement."""
    await unit.send(_CLAIM, {"digest": digest})


async def keep(
    unit: UnitOfWork, digest: UUID, fingerprint: UUID, answer: StoredAnswer, lifetime: timedelta
) -> None:
    """Keep the answer to a key that was claimed in this transaction."""
    row = {"digest": digest, "fingerprint": fingerprint, "status": answer.status}
    sent = {"headers": Jsonb(answer.headers), "body": answer.body, "lifetime": lifetime}
    await unit.send(_KEEP, {**row, **sent})


async def find(connection: AsyncConnection, digests: Sequence[UUID]) -> dict[UUID, Found]:
    """The answers that are stored under these keys now."""
    rows = await connection.execute(_FIND, {"digests": list(digests)})
    return {row.digest: Found(row.fingerprint, StoredAnswer(*row[2:])) for row in rows}


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
