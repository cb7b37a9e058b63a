"""What an operation returns, as JSON knows it: for the command and for HTTP."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from datetime import date, datetime
from typing import Any


def plain(value: Any) -> Any:
    """The value as JSON knows it: times in RFC 3339, bytes as UTF-8 text, other bytes escaped."""
    if is_dataclass(value):
        value = {field.name: getattr(value, field.name) for field in fields(value)}
    match value:
        case Mapping():
            return {str(key): plain(entry) for key, entry in value.items()}
        case str() | int() | float() | bool() | None:
            return value
        case bytes() | datetime() | date():
            return _text(value)
        case Iterable():
            return [plain(entry) for entry in value]
        case _:
            return str(value)


def _text(value: bytes | date) -> str:
    return (
        value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value.isoformat()
    )
