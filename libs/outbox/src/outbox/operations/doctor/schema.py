"""Whether tables, indexes and partitions are as this release declares them."""

from __future__ import annotations

from sqlalchemy import MetaData

from outbox.operations.database import Connection, has_table
from outbox.operations.doctor.findings import Finding, error, ok, warning
from outbox.operations.partitions import day_partitions, days_covered, today
from outbox.schema import GROUPS

DAYS_WANTED = 3
MIGRATE = "run the application's migrations; outbox.schema says what they have to call"
SCHEMA = "`outbox schema` prints the statements that are missing"

_COLUMNS = """
SELECT attname FROM pg_attribute
 WHERE attrelid = to_regclass(%(table)s) AND attnum > 0 AND NOT attisdropped
"""
_INDEX = """
SELECT i.indisvalid,
       (SELECT count(*) FROM pg_inherits WHERE inhparent = to_regclass(%(table)s))
       = (SELECT count(*) FROM pg_inherits WHERE inhparent = to_regclass(%(index)s))
  FROM pg_index i WHERE i.indexrelid = to_regclass(%(index)s)
"""
_DEFAULT_PARTITION = """
SELECT nullif(partdefid, 0)::regclass::text FROM pg_partitioned_table
 WHERE partrelid = to_regclass('outbox')
"""


async def check_schema(connection: Connection) -> list[Finding]:
    """Tables with their versions, columns, indexes and partitions."""
    groups = [await group.find(connection) for group in GROUPS.values()]
    found = [tables for tables in groups if not tables.absent]
    if not found:
        return [error("tables", "the search path leads to no table of the library", MIGRATE)]
    metadata = MetaData()
    for tables in found:
        tables.group.declare(metadata)
    findings = [error("tables", tables.problem, SCHEMA) for tables in found if tables.problem]
    findings += [*await _columns(connection, metadata), *await _indexes(connection, metadata)]
    if "outbox" in metadata.tables:
        findings += [await _settings(connection), *await _days(connection)]
    return findings


async def _columns(connection: Connection, metadata: MetaData) -> list[Finding]:
    findings = []
    for table in metadata.sorted_tables:
        cursor = await connection.execute(_COLUMNS, {"table": table.name})
        there = {name for (name,) in await cursor.fetchall()}
        missing = [column.name for column in table.columns if column.name not in there]
        if not there:
            findings.append(error("tables", f"there is no table {table.name}", MIGRATE))
        elif missing:
            says = f"{table.name} lacks {', '.join(missing)}"
            findings.append(error("tables", says, MIGRATE))
    names = ", ".join(sorted(metadata.tables))
    return findings or [ok("tables", f"{names}: as declared")]


async def _indexes(connection: Connection, metadata: MetaData) -> list[Finding]:
    findings = []
    for table in metadata.sorted_tables:
        for index in table.indexes:
            name = str(index.name)
            cursor = await connection.execute(_INDEX, {"table": table.name, "index": name})
            row = await cursor.fetchone()
            if row is None:
                says = f"{table.name} has no index {name}: every query reads the whole table"
                findings.append(
                    error("indexes", says, f"create it as outbox.log.tables has it: {name}")
                )
            elif not all(row):
                fix = f"create the missing index on each partition and attach it, or REINDEX {name}"
                findings.append(error("indexes", f"{name} is not on every partition", fix))
    return findings or [ok("indexes", "all exist and are valid")]


async def _settings(connection: Connection) -> Finding:
    if not await has_table(connection, "outbox_settings"):
        return error("lanes", "there is no table outbox_settings", MIGRATE)
    cursor = await connection.execute("SELECT lanes FROM outbox_settings")
    row = await cursor.fetchone()
    if row is None:
        fix = "INSERT INTO outbox_settings (lanes) VALUES (16), with every relay stopped"
        return error("lanes", "outbox_settings is empty: no relay can start", fix)
    return ok("lanes", f"{row[0]}")


async def _days(connection: Connection) -> list[Finding]:
    covered = days_covered(await day_partitions(connection), await today(connection))
    fix = "run `outbox partitions --ensure` now, and Maintenance in a worker from now on"
    if covered == 0:
        findings = [error("partitions", "none for today: no event can be added", fix)]
    elif covered <= DAYS_WANTED:
        findings = [error("partitions", f"there is room for only {covered} more days", fix)]
    else:
        findings = [ok("partitions", f"today and {covered - 1} days ahead")]
    cursor = await connection.execute(_DEFAULT_PARTITION)
    row = await cursor.fetchone()
    if row and row[0]:
        says = f"{row[0]} is a DEFAULT partition: creating a day locks and reads it"
        findings.append(warning("partitions", says, "move its rows to day partitions, detach it"))
    return findings
