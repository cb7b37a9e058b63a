"""A relay of the small world as a process of its own, so that it can be killed.

python kit/outbox/processes/relay.py DATABASE_URL BROKER_URL [setting=value …]
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from kit.outbox.topology import AUDITED, TOPOLOGY
from kit.outbox.world import EXCHANGE
from outbox import Relay, RelaySettings


async def relay(database_url: str, broker_url: str, *, audited: int = 0, **settings: Any) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await Relay(
        database_url=database_url,
        broker_url=broker_url,
        exchange=EXCHANGE,
        topology=AUDITED if audited else TOPOLOGY,
        settings=RelaySettings(**settings),
    ).run(stop)


@asynccontextmanager
async def relay_process(
    database_url: str, broker_url: str, *, die_at: str = "", **settings: Any
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run one for the length of the block; `die_at` names a step, as in `relay.read:2`.

    With `audited=1` a stream queue gets every event too.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        __file__,
        database_url,
        broker_url,
        *(f"{name}={value}" for name, value in settings.items()),
        env={**os.environ, "APP_ENV": "test", "OUTBOX_FAILPOINT": die_at}
        | {"PYTHONPATH": str(Path(__file__).parents[3])},
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await asyncio.wait_for(process.wait(), 20)


if __name__ == "__main__":
    pairs = (argument.split("=") for argument in sys.argv[3:])
    asyncio.run(relay(sys.argv[1], sys.argv[2], **{name: int(value) for name, value in pairs}))
