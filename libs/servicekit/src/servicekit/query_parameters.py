"""Query parameters are taken by the names that an endpoint knows, each once.

A caller with another way of paging would else be answered the first page for ever.
"""

from collections import Counter
from urllib.parse import parse_qsl

from fastapi.dependencies.models import Dependant

from servicekit.handlers import field_of, validation_failed
from servicekit.problems import Problem

__all__ = ["known_names", "refuse_others"]

MAX_NAMES = 10


def known_names(dependant: Dependant) -> frozenset[str]:
    """What an endpoint and all that it depends on ask for in the query."""
    own = frozenset(str(parameter.alias) for parameter in dependant.query_params)
    return own.union(*map(known_names, dependant.dependencies))


def refuse_others(query: bytes, known: frozenset[str]) -> None:
    """Raise Problem 422 for a name that is not known, or is there twice."""
    if not query:
        return
    given = Counter(name for name, _ in parse_qsl(query.decode("latin-1"), keep_blank_values=True))
    if unknown := [name for name in given if name not in known]:
        raise _unknown(unknown, known)
    if twice := [name for name, count in given.items() if count > 1]:
        raise validation_failed(
            [{"field": name, "message": "is given more than once"} for name in twice]
        )


def _unknown(names: list[str], known: frozenset[str]) -> Problem:
    here = f"known here: {', '.join(sorted(known))}" if known else "none is known here"
    errors = [
        {"field": field_of((name,)), "message": f"There is no such parameter; {here}."}
        for name in names[:MAX_NAMES]
    ]
    count = f"{len(names)} query {'parameter is' if len(names) == 1 else 'parameters are'} unknown"
    return Problem(422, "unknown_parameter", f"{count}; {here}.", errors=errors)
