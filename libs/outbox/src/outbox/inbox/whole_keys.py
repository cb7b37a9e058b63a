"""Parts of statements on many streams: each row is found by its whole key.

Invariant: no plan reads rows of other streams, whatever PostgreSQL knows of a table. Without
statistics it takes all rows of a consumer for two, and a plain join may read them all, until the
first autoanalyze. See decision 1660.

The parameters are `consumer` and those of `outbox.inbox.position.columns`.
"""

from __future__ import annotations

from collections.abc import Mapping

_GIVEN = {
    "aggregate_id": "%(ids)s::text[]",
    "aggregate_type": "%(types)s::text[]",
    "source": "%(sources)s::text[]",
}


def stream_is(table: str, row: str, consumer: str = "%(consumer)s") -> str:
    """Condition: `table` has the consumer and the stream of `row`."""
    return f"({table}.consumer, {_of(table, _GIVEN)}) = ({consumer}, {_of(row, _GIVEN)})"


def position_of(row: str, consumer: str = "%(consumer)s") -> str:
    """The position of the stream of `row`, to be joined; with LIMIT it is looked up by its key."""
    return f"""
LATERAL (SELECT last_sequence, blocked, parked FROM inbox
          WHERE {stream_is("inbox", row, consumer)} LIMIT 1)"""  # noqa: S608


def is_given(table: str, **more: str) -> str:
    """Condition: `table` has one of the streams that are given, and of `more` the same element."""
    given = _GIVEN | more
    return _is_one_of(table, given, f"SELECT * FROM unnest({', '.join(given.values())})")  # noqa: S608


def is_found(table: str, rows: str, *more: str) -> str:
    """Condition: `table` has the stream of one of `rows`, a part of the statement, and `more`."""
    names = (*_GIVEN, *more)
    found = {name: f"ARRAY(SELECT {name} FROM {rows})" for name in names}  # noqa: S608
    return _is_one_of(table, found, f"SELECT {', '.join(names)} FROM {rows}")  # noqa: S608


def _is_one_of(table: str, arrays: Mapping[str, str], rows: str) -> str:
    """ANY bounds what is read of the index, IN is exact.

    IS TRUE keeps IN from becoming a join, which would compare each row with each.
    """
    among = " AND ".join(f"{table}.{name} = ANY({array})" for name, array in arrays.items())
    return f"""
({table}.consumer = %(consumer)s AND {among}
 AND (({_of(table, arrays)}) IN ({rows})) IS TRUE)"""


def _of(table: str, names: Mapping[str, str]) -> str:
    return ", ".join(f"{table}.{name}" for name in names)
