"""Checks of arguments and of handlers. Each error is one sentence that names what is wrong."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from outbox.errors import InvalidSetting


def check_handler(what: str, function: object, arguments: Sequence[str]) -> None:
    """Raises `InvalidSetting` for what is not callable, not async, or takes other arguments.

    A lambda may return a coroutine, and a wrapper made by `functools.wraps` what it wraps;
    a plain `def` is refused: it would do its work before anyone notices that it cannot be awaited.
    """
    if not callable(function):
        raise InvalidSetting(what, f"is not callable: {function!r}")
    if _is_plain(function):
        raise InvalidSetting(what, f"is not async: {_where(function)}")
    if not accepts(function, arguments):
        wanted = ", ".join(arguments)
        raise InvalidSetting(what, f"has to take ({wanted}): {_where(function)}")


def accepts(function: object, arguments: Sequence[str]) -> bool:
    """Whether it can be called with so many arguments."""
    try:
        inspect.signature(function).bind(*arguments)  # type: ignore[arg-type]
    except TypeError:
        return False
    except ValueError:
        return True  # a builtin tells nothing about its arguments
    return True


def _is_plain(function: Callable[..., Any]) -> bool:
    called = _called(function)
    if inspect.iscoroutinefunction(called) or not inspect.isfunction(called):
        return False
    return called.__name__ != "<lambda>"


def _called(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function that runs: inside of partials, wrappers and objects with `__call__`."""
    while isinstance(function, partial):
        function = function.func
    function = inspect.unwrap(function)
    if inspect.ismethod(function):
        return _called(function.__func__)
    if not inspect.isroutine(function) and not inspect.isclass(function):
        own = type(function).__call__
        return own if inspect.isfunction(own) else function
    return function


def _where(function: Callable[..., Any]) -> str:
    code = getattr(_called(function), "__code__", None)
    name = getattr(function, "__qualname__", None) or repr(function)
    return f"{name} ({code.co_filename}:{code.co_firstlineno})" if code else name


MAX_SHORT_STRING = 255
MILLISECOND = 0.001
MAX_SERVER_SECONDS = 2_147_483
"""PostgreSQL stores a limit of time in a signed integer of 32 bits."""


def named(argument: str, value: object) -> str:
    """A name that must not be empty. Raises `InvalidSetting`."""
    if not isinstance(value, str) or not value.strip():
        raise InvalidSetting(argument, f"has to be a name, not {value!r}")
    return value


def counts(settings: object, *names: str, at_least: int = 1, at_most: int | None = None) -> None:
    """Fields that are whole numbers. Raises `InvalidSetting` for the first that is not."""
    for name in names:
        value = getattr(settings, name)
        whole = isinstance(value, int) and not isinstance(value, bool)
        if not whole or value < at_least or (at_most is not None and value > at_most):
            most = "" if at_most is None else f" and at most {at_most}"
            raise _out_of_range(settings, name, f"a whole number, at least {at_least}{most}")


def short_names(where: str, names: object, *, at_most: int = MAX_SHORT_STRING) -> None:
    """Names for AMQP, each with a limit of bytes (AMQP 0-9-1 section 4.2.5.3).

    Raises `InvalidSetting`, also for a text instead of a tuple: `("order")`.
    """
    if isinstance(names, str) or not isinstance(names, Sequence):
        raise InvalidSetting(where, f"has to be a tuple of names, not {names!r}")
    for name in names:
        if len(named(where, name).encode("utf-8", "surrogatepass")) > at_most:
            raise InvalidSetting(where, f"has to have at most {at_most} bytes, not {name[:60]!r}…")


def instance(argument: str, value: object, *kinds: type) -> None:
    """An argument of one of these classes. Raises `InvalidSetting`, which hides the value."""
    if not isinstance(value, kinds):
        wanted = " or ".join(kind.__name__ for kind in kinds)
        raise InvalidSetting(argument, f"has to be {wanted}, not {type(value).__name__}")


def seconds(settings: object, *names: str) -> None:
    """Fields that are times above 0. Raises `InvalidSetting` for the first that is not."""
    for name in names:
        if not _is_number(value := getattr(settings, name)) or value <= 0:
            raise _out_of_range(settings, name, "a number of seconds above 0")


def seconds_or_zero(settings: object, *names: str) -> None:
    """Fields that are times, where 0 means none. Raises `InvalidSetting`."""
    for name in names:
        if not _is_number(value := getattr(settings, name)) or value < 0:
            raise _out_of_range(settings, name, "a number of seconds, or 0 for none")


def server_seconds(settings: object, *names: str) -> None:
    """Times above 0 that PostgreSQL counts in whole milliseconds; 0 would mean no limit.

    Raises `InvalidSetting` for the first that is not.
    """
    for name in names:
        value = getattr(settings, name)
        if not _is_number(value) or not MILLISECOND <= value <= MAX_SERVER_SECONDS:
            rule = f"a number of seconds from {MILLISECOND} to {MAX_SERVER_SECONDS}"
            raise _out_of_range(settings, name, rule)


def ordered(settings: object, smaller: str, larger: str) -> None:
    """Two fields of which the first must not exceed the second. Raises `InvalidSetting`."""
    low, high = getattr(settings, smaller), getattr(settings, larger)
    if low > high:
        raise _out_of_range(settings, smaller, f"at most {larger}, which is {high!r}")


def below(settings: object, smaller: str, larger: str) -> None:
    """Two fields of which the first must be smaller. Raises `InvalidSetting`."""
    low, high = getattr(settings, smaller), getattr(settings, larger)
    if low >= high:
        raise _out_of_range(settings, smaller, f"below {larger}, which is {high!r}")


def _is_number(value: object) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and math.isfinite(value)  # type: ignore[arg-type]


def _out_of_range(settings: object, name: str, rule: str) -> InvalidSetting:
    where, value = type(settings).__name__, getattr(settings, name)
    return InvalidSetting(f"{where}.{name}", f"has to be {rule}, not {value!r}")
