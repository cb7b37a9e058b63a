"""Migrates the schemas to head, before any service listens."""

import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from devstack.host.errors import Trouble
from devstack.host.layout import Layout
from devstack.native.readiness import own_line
from devstack.native.services import SERVICES, Service, command

LIMIT = 300.0  # seconds


def run(
    layout: Layout,
    environments: Mapping[str, Mapping[str, str]],
    chosen: Sequence[Service] = SERVICES,
) -> None:
    """Migrate these services at the same time; Trouble repeats the service's own line."""
    with ThreadPoolExecutor() as pool:
        for outcome in [pool.submit(_one, layout, s, environments[s.name]) for s in chosen]:
            outcome.result()


def _one(layout: Layout, service: Service, env: Mapping[str, str]) -> None:
    log = layout.log_of(f"{service.name}-migrate")
    try:
        done = subprocess.run(
            command(layout.python, service, "migrate"),
            cwd=layout.checkout,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=LIMIT,
        )
    except subprocess.TimeoutExpired as late:
        raise Trouble(
            f"{service.folder}: migrations took over {LIMIT:.0f} s; "
            f"is another migration holding the lock? see {log}"
        ) from late
    log.write_text(done.stdout)
    if done.returncode:
        lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
        raise Trouble(f"{own_line(lines) or service.folder + ': migrate failed'} (see {log})")
