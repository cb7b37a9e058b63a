"""How many connections an engine's pool gives at most, compared with what is needed of it."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import QueuePool


def most_connections(engine: AsyncEngine) -> int | None:
    """The limit of the engine's pool; None if it has none (SQLAlchemy, "Connection Pooling")."""
    pool = engine.sync_engine.pool
    if not isinstance(pool, QueuePool):
        return None
    overflow = pool._max_overflow  # it has no public name
    return None if overflow < 0 else pool.size() + overflow


def lacking(engine: AsyncEngine, needed: int, what: str) -> str | None:
    """A sentence if the pool gives fewer connections than are needed."""
    most = most_connections(engine)
    if most is None or most >= needed:
        return None
    return f"{what} need {needed} connections, the engine's pool has {most}: raise its pool_size"
