"""Whether something can be awaited as a handler, as far as that can be seen before it is called.

Anything that is not async is refused: see decision 1133.
"""

from __future__ import annotations

import inspect
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
    try:
        inspect.signature(function).bind(*arguments)
    except TypeError:
        takes = ", ".join(arguments)
        raise InvalidSetting(what, f"has to take ({takes}): {_where(function)}") from None
    except ValueError:
        return  # a builtin tells nothing about its arguments


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
