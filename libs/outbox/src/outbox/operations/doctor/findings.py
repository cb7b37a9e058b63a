"""The result of one check."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad it is. An error breaks a promise of the library, now or soon."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """One check with its result and, unless all is well, the fix."""

    check: str
    level: Level
    says: str
    fix: str = ""


def ok(check: str, says: str) -> Finding:
    """All is well."""
    return Finding(check, Level.OK, says)


def warning(check: str, says: str, fix: str) -> Finding:
    """Something is worth a look."""
    return Finding(check, Level.WARNING, says, fix)


def error(check: str, says: str, fix: str) -> Finding:
    """Something has to be mended."""
    return Finding(check, Level.ERROR, says, fix)


def skipped(check: str, why: str, fix: str) -> Finding:
    """The check could not be made."""
    return Finding(check, Level.SKIPPED, why, fix)
