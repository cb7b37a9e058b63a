"""The command `outbox`: it asks, calls `outbox.operations` and prints (see decision 0701).

There is one module for each command or group of commands, named like the command: `status.py`,
`parked.py`. `commands` puts them together. `running` holds exit statuses and questions, `output`
the two forms of output (tables for people, JSON for programs), `options` what several commands are
given. A command never reads or changes a table itself. It needs the extra `cli`; the rest of the
library does not.
"""

from __future__ import annotations

import sys

NEEDS_EXTRA = "outbox: the command needs typer and rich: pip install 'outbox-rabbitmq[cli]'"


def main() -> None:
    """Run the command, or say which extra it needs."""
    try:
        from outbox.cli.commands import app
    except ModuleNotFoundError as missing:
        if missing.name not in {"typer", "rich"}:
            raise
        print(NEEDS_EXTRA, file=sys.stderr)  # noqa: T201
        sys.exit(2)
    app(prog_name="outbox")
