"""The command `outbox`. It only asks and prints; what it does is in `outbox.operate`."""

from __future__ import annotations

import sys

NEEDS_EXTRA = "outbox: the command needs typer and rich: pip install 'outbox-rabbitmq[cli]'"


def main() -> None:
    """Run the command; the library itself does without what the command needs."""
    try:
        from outbox.cli.commands import app
    except ModuleNotFoundError as missing:
        if missing.name not in {"typer", "rich"}:
            raise
        print(NEEDS_EXTRA, file=sys.stderr)  # noqa: T201
        sys.exit(2)
    app(prog_name="outbox")
