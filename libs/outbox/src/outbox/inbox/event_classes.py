"""Event classes: any class with a `type`, and one way to read an event.

Invariant: an event that its class cannot read is `unreadable`, whatever the class raised.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from outbox.errors import InvalidSetting, Unreadable
from outbox.event import Envelope
from outbox.failures import unreadable_errors
from outbox.tracebacks import said

E = TypeVar("E")


def type_of(kind: type[object]) -> str:
    """The event type that a class stands for. Raises `InvalidSetting`."""
    type_ = getattr(kind, "type", None)
    if not isinstance(kind, type) or not isinstance(type_, str) or not type_:
        example = 'type: ClassVar[str] = "order.placed"'
        raise InvalidSetting(f"event class {_name(kind)}", f"has no type: give it `{example}`")
    return type_


def reader_of(kind: type[E]) -> Callable[[Envelope], E]:
    """What makes an instance of an event. Raises `InvalidSetting`.

    It is the first that the class has of `from_envelope(envelope)`, `parse(body)`, and
    `model_validate_json(body)`, which every pydantic model has. A body is bytes.
    """
    type_of(kind)
    read: Callable[[Envelope], E] = _read(kind)

    def instance(envelope: Envelope) -> E:
        try:
            return read(envelope)
        except Exception as problem:
            if isinstance(problem, unreadable_errors()):
                raise
            raise Unreadable(f"{_name(kind)} cannot read it: {said(problem)}") from problem

    return instance


def _read(kind: type[Any]) -> Callable[[Envelope], Any]:
    from_envelope = getattr(kind, "from_envelope", None)
    if callable(from_envelope):
        return from_envelope  # type: ignore[no-any-return]
    parse = getattr(kind, "parse", None) or getattr(kind, "model_validate_json", None)
    if callable(parse):
        return lambda envelope: parse(envelope.payload)
    rule = "cannot be read: give it a classmethod parse(body), or make it a pydantic model"
    raise InvalidSetting(f"event class {_name(kind)}", rule)


def _name(kind: object) -> str:
    return getattr(kind, "__name__", None) or repr(kind)
