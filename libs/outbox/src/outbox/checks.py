"""What the constructors refuse: each check ends with one sentence that names the argument."""

from __future__ import annotations

import math

from outbox.errors import InvalidSetting


def named(argument: str, value: object) -> str:
    """A name that has to be there. Raises `InvalidSetting`."""
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


def seconds(settings: object, *names: str) -> None:
    """Fields that are times above 0. Raises `InvalidSetting` for the first that is not."""
    for name in names:
        value = getattr(settings, name)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not math.isfinite(value) or value <= 0:
            raise _out_of_range(settings, name, "a number of seconds above 0")


def ordered(settings: object, smaller: str, larger: str) -> None:
    """Of two fields one is not above the other. Raises `InvalidSetting`."""
    low, high = getattr(settings, smaller), getattr(settings, larger)
    if low > high:
        raise _out_of_range(settings, smaller, f"at most {larger}, which is {high!r}")


def _out_of_range(settings: object, name: str, rule: str) -> InvalidSetting:
    where, value = type(settings).__name__, getattr(settings, name)
    return InvalidSetting(f"{where}.{name}", f"has to be {rule}, not {value!r}")
