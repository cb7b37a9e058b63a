"""Killing a worker again and again without making innocent events look like poison."""

from __future__ import annotations

import psycopg

from devstack.native.system import System
from kit.waiting import wait_until


def kill_processor_worker(system: System) -> None:
    """SIGKILL the processor's worker, once it is ready and has settled what it died with before.

    An event that is in hand when it dies three times would be parked as `crashed`, as poison is.
    """
    system.wait_ready()
    url = system.environment["processor"]["DATABASE_URL_PROCESSOR"]
    with psycopg.connect(url, autocommit=True) as connection:
        noted = "SELECT count(*) FROM inbox_attempts"
        wait_until(lambda: connection.execute(noted).fetchall() == [(0,)], within=60)
    system.kill("processor-worker")
