"""For Alembic: partitions by day come and go by themselves, so no migration must touch them.

    context.configure(..., include_name=outbox.alembic.include_name())

Alembic 1.18 and newer finds this module by the entry point `alembic.plugins` and leaves the days
alone whatever `env.py` says; with `include_name` it does not even read them.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from typing import TYPE_CHECKING, Any

from outbox.postgres.day_partitions import INBOX_APPLIED, OUTBOX

if TYPE_CHECKING:
    from alembic.operations.ops import UpgradeOps
    from alembic.runtime.plugins import Plugin

IncludeName = Callable[[str | None, Any, MutableMapping[Any, str | None]], bool]
"""Alembic calls it for each name that it finds: the name, its kind, and its parents."""


def is_day(name: str | None) -> bool:
    """Whether a table is a day of a table of the library, such as `outbox_p20260131`."""
    return name is not None and any(days.day_of(name) for days in (OUTBOX, INBOX_APPLIED))


def include_name(mine: IncludeName | None = None) -> IncludeName:
    """For `context.configure`: all names but the days; `mine` may exclude more."""

    def include(name: str | None, kind: Any, parents: MutableMapping[Any, str | None]) -> bool:
        if kind == "table" and is_day(name):
            return False
        return mine is None or mine(name, kind, parents)

    return include


def setup(plugin: Plugin) -> None:
    """Alembic calls this. The comparator runs after all others."""
    from alembic.util import DispatchPriority

    plugin.add_autogenerate_comparator(_spare_days, "schema", priority=DispatchPriority.LAST)


def _spare_days(_context: object, proposed: UpgradeOps, _schemas: object) -> Any:
    from alembic.util import PriorityDispatchResult

    proposed.ops = [op for op in proposed.ops if not is_day(getattr(op, "table_name", None))]
    return PriorityDispatchResult.CONTINUE
