"""Migrates the schemas to head, before any service listens, and writes new migrations."""

import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

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


def revise(layout: Layout, service: Service, env: Mapping[str, str], message: str) -> Path | None:
    """Let Alembic write a revision; None if the tables are what the migrations make.

    The database must be at head. `alembic.ini` has ruff repair what Alembic writes.
    """
    folder, log = layout.checkout / service.folder, layout.log_of(f"{service.name}-migration")
    before = set(folder.glob("migrations/versions/*.py"))
    done = subprocess.run(
        [layout.python, "-m", "alembic", "revision", "--autogenerate", "-m", message],
        cwd=folder,
        env=dict(env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    log.write_text(done.stdout)
    written = set(folder.glob("migrations/versions/*.py")) - before
    if done.returncode:
        for file in written:
            file.unlink()
        last = (done.stdout.strip().splitlines() or ["no message"])[-1]
        raise Trouble(f"alembic cannot write the migration of {service.folder}: {last}")
    return written.pop() if written else None
