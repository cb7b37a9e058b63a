"""The bench's own PostgreSQL and RabbitMQ: durable as in production, removed afterwards."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from devstack.commands.servers import variables_of
from devstack.host import processes
from devstack.host.layout import of as layout_of
from devstack.native import prerequisites
from devstack.native.infrastructure import Wanted
from devstack.native.system import CHECKOUT, Layout, System

FOLDER = CHECKOUT / ".local" / "bench"
_WANTED = Wanted(postgres=True, rabbitmq=True, redis=False)
_SHOWN = (
    "fsync",
    "synchronous_commit",
    "full_page_writes",
    "shared_buffers",
    "max_wal_size",
    "autovacuum",
)


@dataclass(frozen=True)
class Stack:
    """Addresses, versions and settings of both servers."""

    home: Path
    postgres_url: str
    rabbitmq_url: str
    management_url: str
    versions: dict[str, str]
    settings: dict[str, str]
    load: float
    """The machine's load before the bench started anything: load by other programs."""

    def described(self) -> str:
        """One line on versions and durability, printed above the table."""
        versions = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        settings = ", ".join(f"{name}={value}" for name, value in self.settings.items())
        return f"{versions}; {os.cpu_count()} cores, load {self.load:.2f} before; {settings}"


@contextmanager
def own_stack() -> Iterator[Stack]:
    """Start both on free ports, and remove them with all their data after the block."""
    load = os.getloadavg()[0]
    _sweep()
    layout = layout_of()
    layout.prepare()
    prerequisites.install(layout, _WANTED)
    home = FOLDER / str(os.getpid())
    home.parent.mkdir(mode=0o700, exist_ok=True)
    system = System(Layout(CHECKOUT, home), with_services=False, wanted=_WANTED)
    try:
        system.start()
        urls = variables_of(system)
        postgres = urls["TEST_POSTGRES_URL"]
        yield Stack(
            home=home,
            postgres_url=postgres,
            rabbitmq_url=urls["TEST_RABBITMQ_URL"],
            management_url=urls["TEST_RABBITMQ_MANAGEMENT_URL"],
            versions=dict(system.versions),
            settings=_settings(postgres),
            load=load,
        )
    finally:
        system.destroy()


def _settings(url: str) -> dict[str, str]:
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT name, current_setting(name) FROM unnest(%s::text[]) name", [list(_SHOWN)]
        ).fetchall()
    return {str(name): str(value) for name, value in rows}


def _sweep() -> None:
    """Remove what a killed run left. A run's folder is named by its pid."""
    for home in FOLDER.glob("*") if FOLDER.exists() else ():
        if home.name.isdecimal() and "bench" not in processes.command_of(int(home.name)):
            System(Layout(CHECKOUT, home)).destroy()
