"""Names, roles and passwords. Passwords are kept as Argon2id hashes only.

A name that is not known takes as long to refuse as a wrong password, so nobody learns which names
there are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from outbox.errors import InvalidSetting
from outbox.operations.roles import Role

DEVELOPMENT_PASSWORD = "-dev-only"  # noqa: S105 how every password of development ends
LONGEST_PASSWORD = 1024
"""Characters. A longer one is refused without being hashed."""

_FORM = re.compile(r"(?P<name>[\w.@+-]{1,64}):(?P<role>viewer|operator):(?P<hash>\$argon2\S+)")
_HASHER = PasswordHasher()


@dataclass(frozen=True, slots=True)
class User:
    name: str
    role: Role


@dataclass(frozen=True, slots=True)
class Users:
    """Everybody who may log in with a password."""

    hashes: Mapping[User, str] = field(repr=False)
    for_development: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Passwords by name, which the login page shows; empty for users of your own."""

    @classmethod
    def read(cls, file: Path) -> Users:
        """Users from lines `name:role:hash`, with `#` for comments. Raises `InvalidSetting`."""
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as problem:
            reason = problem.strerror if isinstance(problem, OSError) else "it is not UTF-8"
            raise InvalidSetting("users file", f"{file} cannot be read: {reason}") from None
        hashes = dict(_parsed(file, lines))
        if not hashes:
            raise InvalidSetting(
                "users file", f"{file} has no user: outbox console --hash-password"
            )
        return cls(hashes)

    @classmethod
    def of_development(cls) -> Users:
        """One user for each role, with a password that everybody knows."""
        users = [User(role.value, role) for role in Role]
        passwords = {user.name: f"{user.name}{DEVELOPMENT_PASSWORD}" for user in users}
        return cls({user: hashed(passwords[user.name]) for user in users}, passwords)

    def refuse_development(self) -> None:
        """Raise `InvalidSetting` if somebody has a password that everybody knows."""
        for user, known in self.hashes.items():
            passwords = {f"{role.value}{DEVELOPMENT_PASSWORD}" for role in Role}
            if any(_fits(known, password) for password in passwords):
                rule = f"gives {user.name} a password of development: production refuses it"
                raise InvalidSetting("users file", rule)

    def verify(self, name: str, password: str) -> User | None:
        """The user, if the password is right. Takes tens of milliseconds of a core."""
        user = next((user for user in self.hashes if user.name == name), None)
        known = self.hashes[user] if user else _hash_of_no_user()
        is_right = len(password) <= LONGEST_PASSWORD and _fits(known, password)
        return user if is_right else None


def hashed(password: str) -> str:
    """The hash that a line of the users file has."""
    return _HASHER.hash(password)


@cache
def _hash_of_no_user() -> str:
    """What a password is compared with when nobody has the name; `verify` then returns None."""
    return hashed("")


def _fits(known: str, password: str) -> bool:
    try:
        return _HASHER.verify(known, password)
    except (Argon2Error, InvalidHashError):
        return False


def _parsed(file: Path, lines: list[str]) -> Iterator[tuple[User, str]]:
    """No error quotes a line: it has a hash."""
    names = set()
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        found = _FORM.fullmatch(line.strip())
        if found is None or found["name"] in names:
            rule = f"{file} line {number} is not name:viewer|operator:hash with a name of its own"
            raise InvalidSetting("users file", f"{rule}: outbox console --hash-password")
        names.add(found["name"])
        yield User(found["name"], Role(found["role"])), found["hash"]
