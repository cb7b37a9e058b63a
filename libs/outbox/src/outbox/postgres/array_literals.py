"""Arrays as PostgreSQL reads them (section 8.15.2), for parameters with a cast such as `::text[]`.

psycopg dumps a list element by element, a microsecond each. On the path of every event one literal
is made of all, and several statements use it.
"""

from __future__ import annotations

from collections.abc import Iterable


def text_array(texts: Iterable[str]) -> str:
    """The array of these texts."""
    given = list(texts)
    if not given:
        return "{}"
    joined = '","'.join(given)
    if "\\" in joined or joined.count('"') != 2 * len(given) - 2:
        joined = '","'.join(one.replace("\\", "\\\\").replace('"', '\\"') for one in given)
    return f'{{"{joined}"}}'


def plain_array(values: Iterable[object]) -> str:
    """The array of numbers, UUIDs or booleans; None is NULL."""
    return f"{{{','.join('NULL' if one is None else str(one) for one in values)}}}"
