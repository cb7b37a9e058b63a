"""The fingerprint of a failure: what it depends on, and what it does not."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import ModuleType

import psycopg
from sqlalchemy.exc import IntegrityError

from outbox.fingerprints import MAX_NAME, Cause, cause_of

SITE = "/app/lib/python3.12/site-packages"


def raised(function: Callable[[], object]) -> Exception:
    try:
        function()
    except Exception as problem:
        return problem
    raise AssertionError("it did not raise")


def lookup(name: str, *, late: bool = False) -> None:
    if late:
        raise KeyError(name)
    raise KeyError(name)


def other_lookup() -> None:
    raise KeyError("a")


def parses() -> None:
    json.loads("{")


def fails_in_a_group() -> None:
    raise ExceptionGroup("several", [ExceptionGroup("two", [raised(parses)])])


def installed(module: str, path: str, code: str, **names: object) -> ModuleType:
    """A module whose code says that it is in this file."""
    made = ModuleType(module)
    made.__dict__.update(names)
    exec(compile(code, path, "exec"), made.__dict__)
    return made


def test_a_cause_is_the_class_and_the_innermost_function_of_the_users_code() -> None:
    assert str(cause_of(raised(parses))) == f"json.decoder.JSONDecodeError in {__name__}.parses"


def test_neither_a_value_nor_a_line_changes_a_fingerprint() -> None:
    causes = [cause_of(raised(lambda: lookup("a"))), cause_of(raised(lambda: lookup("b")))]
    causes.append(cause_of(raised(lambda: lookup("a", late=True))))
    assert len({cause.fingerprint("order.created") for cause in causes}) == 1


def test_class_function_and_event_type_each_change_a_fingerprint() -> None:
    cause = cause_of(raised(lambda: lookup("a")))
    others = [cause_of(raised(other_lookup)), Cause("ValueError", cause.where)]
    found = {cause.fingerprint("order.created"), cause.fingerprint("order.cancelled")}
    found |= {other.fingerprint("order.created") for other in others}
    assert len(found) == 4
    assert {len(one) for one in found} == {8}


def test_an_exception_group_has_the_cause_of_its_first_member() -> None:
    assert cause_of(raised(fails_in_a_group)) == cause_of(raised(parses))


def test_an_error_of_the_database_has_the_class_of_the_driver() -> None:
    refused = IntegrityError("INSERT", {}, psycopg.errors.UniqueViolation("duplicate key"))
    assert cause_of(refused) == Cause("psycopg.errors.UniqueViolation")


def test_of_an_application_that_is_installed_the_package_of_the_handler_counts() -> None:
    client = installed(
        "client.calls", f"{SITE}/client/calls.py", "def get():\n    raise OSError('away')\n"
    )
    shop = installed(
        "shop.kitchen",
        f"{SITE}/shop/kitchen.py",
        "def cook():\n    ask()\ndef ask():\n    client.get()\n",
        client=client,
    )
    problem = raised(shop.cook)
    # As it arrives from a process in which nothing but the application and its client ran.
    problem.__traceback__ = problem.__traceback__ and problem.__traceback__.tb_next
    assert str(cause_of(problem)) == "OSError in shop.kitchen.ask"


def test_the_names_of_a_cause_are_bounded() -> None:
    long = type("E" * 10_000, (Exception,), {})
    assert len(cause_of(long()).error) == MAX_NAME
