"""A process that sends requests with keys to a ledger of its own, all at once.

python kit/http/ledger_process.py DATABASE_URL
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from sqlalchemy.ext.asyncio import create_async_engine

from kit.http.ledger_service import ENTRY, Ledger, build, client

REQUESTS = 8
KEYS = [{"Idempotency-Key": f"key-{number}"} for number in range(REQUESTS)]


async def send(database_url: str) -> None:
    engine = create_async_engine(database_url.replace("postgresql://", "postgresql+psycopg://"))
    async with client(build(Ledger(engine))) as http:
        await asyncio.gather(
            *(http.post("/entries/written", json=ENTRY, headers=one) for one in KEYS)
        )


async def begin(database_url: str, *, die_at: str) -> asyncio.subprocess.Process:
    """Run one; `die_at` names a step."""
    environment = {**os.environ, "APP_ENV": "test", "OUTBOX_FAILPOINT": die_at}
    return await asyncio.create_subprocess_exec(
        sys.executable,
        __file__,
        database_url,
        env={**environment, "PYTHONPATH": str(Path(__file__).parents[2])},
    )


if __name__ == "__main__":
    asyncio.run(send(sys.argv[1]))
