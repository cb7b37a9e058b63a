"""Each table of a service is made by one of its migrations. It needs no PostgreSQL."""

from __future__ import annotations

import re
from io import StringIO
from pathlib import Path

import pytest
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import MetaData

import service_orders.domains
import service_orders.metadata
import service_processor.domains
import service_processor.metadata

ROOT = Path(__file__).parents[2]
TABLES: dict[str, MetaData] = {
    "orders": service_orders.metadata.metadata,
    "processor": service_processor.metadata.metadata,
}


@pytest.mark.parametrize("service", TABLES)
def test_every_table_is_made_by_a_migration(service: str) -> None:
    made = set(re.findall(r"CREATE TABLE (?:IF NOT EXISTS )?(\w+)", script_of(service)))
    missing = sorted(set(TABLES[service].tables) - made)
    assert not missing, (
        f"no migration of service-{service} makes {', '.join(missing)}: write one with"
        f' make migration SERVICE={service} M="The {missing[0].replace("_", " ")}"'
    )


def script_of(service: str) -> str:
    """The SQL of all migrations, as `alembic upgrade --sql` writes it."""
    script = StringIO()
    context = MigrationContext.configure(
        dialect_name="postgresql", opts={"as_sql": True, "output_buffer": script}
    )
    migrations = ScriptDirectory(str(ROOT / f"service-{service}/migrations"))
    with Operations.context(context):
        for revision in reversed(list(migrations.walk_revisions())):
            revision.module.upgrade()
    return script.getvalue()
