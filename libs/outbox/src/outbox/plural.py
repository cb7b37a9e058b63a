"""How many of something, in words."""

from __future__ import annotations


def counted(number: int, one: str, many: str | None = None) -> str:
    """The number and its noun: "1 job", "2 jobs"; `many` where the plural is more than an s."""
    return f"{number} {one if number == 1 else many or f'{one}s'}"
