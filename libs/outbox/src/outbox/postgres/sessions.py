"""Connections that hold locks for as long as they live: a loss is noticed within some 15 s.

Without a transaction, because none may be open while somebody else works.
"""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo

from outbox.addresses import Database, DatabaseAddress
from outbox.supervise import SHORT_KEEPALIVES, connected

# A lost holder only the server can notice: until then its locks have an owner.
_SESSION = """
SELECT set_config('TimeZone', 'UTC', false), set_config('DateStyle', 'ISO', false),
       set_config('lock_timeout', '5s', false), set_config('tcp_keepalives_idle', '5', false),
       set_config('tcp_keepalives_interval', '2', false),
       set_config('tcp_keepalives_count', '3', false),
       set_config('tcp_user_timeout', '15s', false)
"""


async def open_lock_session(
    database: Database, name: str, **options: str
) -> psycopg.AsyncConnection[Any]:
    """Such a connection in autocommit, under this name in pg_stat_activity."""
    address = DatabaseAddress.of(database).conninfo
    conninfo = make_conninfo(address, application_name=name, **SHORT_KEEPALIVES, **options)
    connection = await connected(psycopg.AsyncConnection.connect(conninfo, autocommit=True))
    try:
        await connection.execute(_SESSION)
    except BaseException:
        await connection.close()
        raise
    return connection
