"""An API of two processes: `python api_process.py FOLDER` prints its port.

`GET /api/v1/waiting` makes a file `waiting` in FOLDER, and is answered when a file `go` is there.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from servicekit.http.app import ServiceApp, create_app
from servicekit.http.routing import Router
from servicekit.process.entrypoint import run, stop_on_signals
from servicekit.process.parent import Parent, inherited_listener, is_child
from servicekit.process.server import bind, serve


def build(folder: Path) -> ServiceApp:
    router = Router()

    @router.get("/pid")
    async def pid() -> int:
        return os.getpid()

    @router.get("/waiting")
    async def waiting() -> int:
        (folder / "waiting").touch()
        while not (folder / "go").exists():  # noqa: ASYNC110 another process makes it
            await asyncio.sleep(0.01)
        return os.getpid()

    return create_app(title="t", version="1", description="", routers=[router])


async def main() -> None:
    stop = stop_on_signals()
    listener = inherited_listener(stop) or bind("127.0.0.1", 0, variable="TOYS_PORT")
    if is_child():
        await serve(build(Path(sys.argv[1])), listener, stop=stop, variable="TOYS_PORT", grace=30)
    else:
        print(listener.getsockname()[1], flush=True)  # noqa: T201 the test reads it
        await Parent(listener, 2, stop).run()


if __name__ == "__main__":
    run("toys", main)
