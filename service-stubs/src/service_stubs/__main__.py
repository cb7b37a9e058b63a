"""`python -m service_stubs api`: the one process of this service."""

from __future__ import annotations

import typer

from service_stubs import NAME, bootstrap
from servicekit.process.entrypoint import run

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Stand-ins for the external systems."
)


@app.callback()
def _roles() -> None:
    """One role, named like those of the other services."""


@app.command()
def api() -> None:
    """Answer HTTP requests (STUBS_PORT)."""
    run(NAME, bootstrap.run)


if __name__ == "__main__":
    app(prog_name="python -m service_stubs")
