"""Figures as a person reads them: numbers, rates, sizes and durations as short texts."""

from __future__ import annotations

UNKNOWN = "–"
_UNITS = (("d", 86400), ("h", 3600), ("min", 60))


def number(value: float | None) -> str:
    """With a thin space between thousands; at most one decimal."""
    if value is None:
        return UNKNOWN
    text = f"{value:,.0f}" if value == int(value) or value >= 100 else f"{value:,.1f}"
    return text.replace(",", "\u202f")


def rate(per_second: float | None) -> str:
    """`0/s`, `0.4/s`, `12/s`."""
    if per_second is None:
        return UNKNOWN
    return f"{number(round(per_second) if per_second >= 10 else per_second)}/s"


def duration(seconds: float | None) -> str:
    """`850 ms`, `12.3 s`, `4 min 10 s`, `2 h 5 min`, `3 d 4 h`."""
    if seconds is None:
        return UNKNOWN
    if seconds < 1:
        return f"{max(seconds, 0) * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    left, parts = round(seconds), list[str]()
    for unit, size in (*_UNITS, ("s", 1)):
        count, left = divmod(left, size)
        if count or parts:
            parts.append(f"{count} {unit}")
    return " ".join(part for part in parts[:2] if not part.startswith("0 "))


def octets(value: int | None) -> str:
    """`512 B`, `1.4 KiB`, `23 MiB`."""
    if value is None:
        return UNKNOWN
    left, unit = float(value), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if left < 1024:
            break
        left, unit = left / 1024, larger
    return f"{left:.1f} {unit}" if left < 10 and unit != "B" else f"{left:.0f} {unit}"


def took(seconds: float) -> str:
    """A short time with its fractions: `0.04 ms`, `12.3 ms`, `4.2 s`, `61 s`."""
    if seconds >= 1:
        return f"{seconds:,.0f} s" if seconds >= 60 else f"{seconds:.1f} s"
    return f"{seconds * 1000:.{2 if seconds < 0.001 else 1}f} ms"
