"""An endpoint accepts the query parameters that it knows, each once unless it is a list.

Invariant: the known names are those that the framework reads, found by its own functions. A caller
with another way of paging would otherwise get the first page for ever. See decision 1205.
"""

from collections import Counter
from collections.abc import Mapping
from urllib.parse import parse_qsl

from fastapi._compat import field_annotation_is_sequence
from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import _get_flat_fields_from_params, _get_param_aliases

from servicekit.http.exception_handlers import field_of, validation_failed
from servicekit.http.problems import Problem

__all__ = ["known_names", "refuse_others"]

MAX_NAMES = 10


def known_names(dependant: Dependant) -> dict[str, bool]:
    """Return the names that an endpoint and its dependencies read, and whether each is a list."""
    known: dict[str, bool] = {}
    for other in dependant.dependencies:
        known |= known_names(other)
    for field in _get_flat_fields_from_params(dependant.query_params):
        is_list = field_annotation_is_sequence(field.field_info.annotation)
        known |= {name: is_list for _, name in _get_param_aliases(field)}
    return known


def refuse_others(query: bytes, known: Mapping[str, bool]) -> None:
    """Raise Problem 422 for a name that is unknown, or given twice."""
    if not query:
        return
    given = Counter(name for name, _ in parse_qsl(query.decode("latin-1"), keep_blank_values=True))
    if unknown := [name for name in given if name not in known]:
        raise _unknown(unknown, known)
    if twice := [name for name, count in given.items() if count > 1 and not known[name]]:
        raise validation_failed(
            [{"field": name, "message": "is given more than once"} for name in twice]
        )


def _unknown(names: list[str], known: Mapping[str, bool]) -> Problem:
    here = f"known here: {', '.join(sorted(known))}" if known else "none is known here"
    errors = [
        {"field": field_of((name,)), "message": f"There is no such parameter; {here}."}
        for name in names[:MAX_NAMES]
    ]
    count = f"{len(names)} query {'parameter is' if len(names) == 1 else 'parameters are'} unknown"
    return Problem(422, "unknown_parameter", f"{count}; {here}.", errors=errors)
