"""Who has logged in: in memory, so that a logout ends a session everywhere. See decision 1911.

A browser has a random token, of which only the digest is kept here.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from outbox.console.access.users import User

LIFETIME = 12 * 3600.0
"""Seconds after the login."""
OF_ONE_USER = 20
"""Sessions at once; a further one ends the oldest."""


@dataclass(frozen=True, slots=True)
class Flash:
    """A message that the next page shows once; `kind` is `done` or `failed`."""

    text: str
    kind: str


@dataclass(slots=True)
class Session:
    """A login. `csrf` stands in each form, `key` signs what a form carries from page to page."""

    user: User
    ends_at: float
    csrf: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    key: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    flashes: list[Flash] = field(default_factory=list)

    def pop_flashes(self) -> list[Flash]:
        """The messages for the next page, which are shown once."""
        shown, self.flashes = self.flashes, []
        return shown


class Sessions:
    """All sessions of one console."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._sessions: dict[str, Session] = {}

    def begin(self, user: User) -> tuple[str, Session]:
        """A new token, and its session."""
        self._forget_ended()
        own = [digest for digest, session in self._sessions.items() if session.user == user]
        for digest in own[: max(0, len(own) - OF_ONE_USER + 1)]:
            del self._sessions[digest]
        token = secrets.token_urlsafe(32)
        session = Session(user, self._clock() + LIFETIME)
        self._sessions[_digest(token)] = session
        return token, session

    def of(self, token: str | None) -> Session | None:
        """The session of a token; None if there is none or it has ended."""
        session = self._sessions.get(_digest(token)) if token else None
        return session if session and session.ends_at > self._clock() else None

    def end(self, token: str | None) -> None:
        if token:
            self._sessions.pop(_digest(token), None)

    def _forget_ended(self) -> None:
        now = self._clock()
        self._sessions = {d: s for d, s in self._sessions.items() if s.ends_at > now}


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
