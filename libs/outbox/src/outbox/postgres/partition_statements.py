"""Making day partitions: one statement, which a migration's script can hold as well."""

from __future__ import annotations

# LIKE + CHECK + ATTACH, because ATTACH takes only SHARE UPDATE EXCLUSIVE on the parent
# (PostgreSQL, ALTER TABLE, "ATTACH PARTITION"); the CHECK spares the scan. Without a per cent sign
# or a colon before a word, which would mean something on the way to the database.
_MAKE = """
DO $$
DECLARE
  parent CONSTANT regclass := '{parent}';
  home CONSTANT text := (SELECT quote_ident(nspname) FROM pg_namespace WHERE oid =
                         (SELECT relnamespace FROM pg_class WHERE oid = parent));
  today CONSTANT date := (clock_timestamp() AT TIME ZONE 'UTC')::date;
  day date;
  name text;
  first text;
  past text;
BEGIN
  FOR day IN SELECT generate_series({first}, {last}, interval '1 day')::date LOOP
    name := home || '.{table}_p' || to_char(day, 'YYYYMMDD');
    CONTINUE WHEN to_regclass(name) IS NOT NULL;
    first := quote_literal(to_char(day, 'YYYY-MM-DD') || ' 00:00+00');
    past := quote_literal(to_char(day + 1, 'YYYY-MM-DD') || ' 00:00+00');
    EXECUTE 'CREATE TABLE ' || name || ' (LIKE ' || parent
      || ' INCLUDING DEFAULTS INCLUDING CONSTRAINTS, CONSTRAINT of_its_day CHECK ({column} >= '
      || first || ' AND {column} < ' || past || '))';
    EXECUTE 'ALTER TABLE ' || parent || ' ATTACH PARTITION ' || name
      || ' FOR VALUES FROM (' || first || ') TO (' || past || ')';
    EXECUTE 'ALTER TABLE ' || name || ' DROP CONSTRAINT of_its_day';
  END LOOP;
END $$"""


def make_days(*, parent: str, table: str, column: str, first: str, last: str) -> str:
    """SQL that makes the days from `first` to `last`, each an SQL date, where they are missing.

    `first` and `last` may speak of `today`, which is the database's day when the statement runs.
    `parent` is the table's name as the connection reaches it; its days go to its own schema.
    """
    quoted = parent.replace("'", "''")
    return _MAKE.format(parent=quoted, table=table, column=column, first=first, last=last)
