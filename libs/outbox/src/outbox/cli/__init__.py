"""The command `outbox`. It only asks and prints; what it does is in `outbox.operate`."""

from __future__ import annotations

import sys

NEEDS_EXTRA = "outbox: the command needs typer and rich: pip install 'outbox-rabbitmq[cli]'"


def main() -> None:
    """Run the command; the library itself does without what the command needs."""
    try:
        from outbox.cli.app import app
    except ModuleNotFoundError as missing:
        if missing.name not in {"typer", "rich"}:
            raise
        sys.exit(NEEDS_EXTRA)
    app(prog_name="outbox")
