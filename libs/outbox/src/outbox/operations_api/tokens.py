"""Who may call: bearer tokens, of which only hashes are known here.

Invariant: a token is compared with every known one in constant time, so an answer's time says
nothing about them. Tokens are long and random; a plain hash of one cannot be guessed back.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from outbox.errors import InvalidSetting
from outbox.operations.roles import Role

FORM = "name:role:sha256-of-token, several by comma; a role is viewer or operator"

_NAME = re.compile(r"[\w.@-]{1,64}", re.ASCII)
_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose token it is."""

    name: str
    role: Role


@dataclass(frozen=True, slots=True, repr=False)
class Tokens:
    """The callers by the hashes of their tokens."""

    callers: Sequence[tuple[bytes, Caller]] = ()

    @classmethod
    def parse(cls, text: str) -> Tokens:
        """Read `name:role:sha256` entries. Raises `InvalidSetting`, which quotes no hash."""
        entries = [one.strip() for one in text.split(",") if one.strip()]
        return cls([_entry(number, one) for number, one in enumerate(entries, 1)])

    def caller_of(self, token: str) -> Caller | None:
        """Whose token this is; None if nobody's."""
        given, found = sha256(token.encode()).digest(), None
        for known, caller in self.callers:
            if hmac.compare_digest(given, known):
                found = caller
        return found


def _entry(number: int, text: str) -> tuple[bytes, Caller]:
    name, role, digest = (*text.split(":"), "", "")[:3]
    known = _NAME.fullmatch(name) and role in [*Role] and _HASH.fullmatch(digest.lower())
    if not known or text.count(":") != 2:
        raise InvalidSetting(f"token {number}", f"has to be {FORM}")
    return bytes.fromhex(digest), Caller(name, Role(role))
