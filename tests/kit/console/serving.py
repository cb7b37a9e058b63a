"""An application on a port of its own, served by a thread of the test."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI

from kit.waiting import wait_until


@contextmanager
def serving(app: FastAPI) -> Iterator[str]:
    """The URL, as long as the block lasts."""
    config = uvicorn.Config(
        app, host="127.0.0.1", port=0, log_config=None, proxy_headers=False, access_log=False
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, name="console", daemon=True)
    thread.start()
    try:
        wait_until(lambda: server.started or not thread.is_alive())
        [socket] = server.servers[0].sockets
        yield f"http://127.0.0.1:{socket.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)
