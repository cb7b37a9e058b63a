"""What somebody may do to an outbox and an inbox, by console or over HTTP."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["Role"]


class Role(StrEnum):
    """A viewer sees everything; an operator may also change."""

    VIEWER = "viewer"
    OPERATOR = "operator"

    @property
    def may_change(self) -> bool:
        """Whether the role is one that changes."""
        return self is Role.OPERATOR
