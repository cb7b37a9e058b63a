"""Consumer tags that name the database into which a queue is consumed.

The broker delivers to one of two consumers of a queue. If they have a database each, the second
receives nothing until the first is gone, and then finds a gap in every stream. AMQP tells a client
nothing about the other consumers; the management API lists their tags. See decision 1137.
"""

from __future__ import annotations

from hashlib import sha256
from uuid import uuid4

from sqlalchemy.ext.asyncio import AsyncConnection

PREFIX = "outbox"

# A standby that was promoted is the same database (PostgreSQL, "Control Data Functions").
_IDENTITY = """
SELECT system_identifier::text, d.oid::text, c.relnamespace::text
  FROM pg_control_system(), pg_database d, pg_class c
 WHERE d.datname = current_database() AND c.oid = to_regclass('inbox')
"""


async def tag_of(connection: AsyncConnection) -> str:
    """A new tag for a consumer into this database; it reveals only whether two databases differ.

    At most 255 bytes (AMQP 0-9-1 section 4.2.5.3).
    """
    identity = (await connection.exec_driver_sql(_IDENTITY)).one()
    return f"{PREFIX}.{sha256('/'.join(identity).encode()).hexdigest()[:12]}.{uuid4().hex}"


def database_in(tag: str) -> str | None:
    """The database that a tag names; None if another client chose the tag."""
    prefix, _, rest = tag.partition(".")
    return rest.partition(".")[0] if prefix == PREFIX and rest else None
