"""What a partition takes, whoever made it and whatever its name."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_CONSTRAINT = "SELECT pg_get_partition_constraintdef(to_regclass(:name))"


async def takes_now(connection: AsyncConnection, name: str, column: str) -> bool:
    """Whether a row of which `column` says the present would go to this partition."""
    bounds = (await connection.execute(text(_CONSTRAINT), {"name": name})).scalar_one()
    query = f'SELECT {bounds} FROM (SELECT clock_timestamp() AS "{column}") AS present'  # noqa: S608
    return bool((await connection.exec_driver_sql(query)).scalar_one())
