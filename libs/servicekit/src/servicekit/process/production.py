"""What `APP_ENV=production` refuses and development allows, each in one line.

Passwords that others know or can guess are refused. There is no authentication here yet, so a
service that listens beyond this machine has to be told that something in front does it.
See decision 1221.
"""

from collections.abc import Collection, Mapping

from pydantic import SecretStr

from servicekit.process.startup_errors import BadSettings
from servicekit.process.urls import ConnectionUrl, RedisUrl, is_loopback

__all__ = ["DEVELOPMENT_PASSWORD", "SHORTEST_PASSWORD", "refuse_open_access", "refuse_weak_secrets"]

DEVELOPMENT_PASSWORD = "-dev-only"  # noqa: S105 how every password in the repository ends
SHORTEST_PASSWORD = 12
"""Characters. A shorter one is found by trying, as attempts are not counted."""


def refuse_open_access(http_host: str, *, authentication_in_front: bool) -> None:
    """Raise BadSettings if other machines could call without authentication."""
    if not is_loopback(http_host) and not authentication_in_front:
        raise BadSettings(
            f"HTTP_HOST={http_host} is reached from other machines, and there is no authentication:"
            " with APP_ENV=production set HTTP_HOST=127.0.0.1, or AUTH=none, which says that"
            " something in front of it does it"
        )


def refuse_weak_secrets(secrets: Mapping[str, object], defaulted: Collection[str]) -> None:
    """Raise BadSettings for the first weak secret. Keys and `defaulted` are variables."""
    seen: dict[str, str] = {}
    for variable, value in secrets.items():
        if isinstance(value, ConnectionUrl | SecretStr):
            if variable in defaulted:
                raise BadSettings(
                    f"{variable} is not set: APP_ENV=production has no default for it"
                )
            if secret := _checked(variable, value):
                _refuse_twin(variable, secret, seen)


def _checked(variable: str, value: ConnectionUrl | SecretStr) -> str:
    """Return the secret of a variable; empty if it needs none. Raises BadSettings."""
    url = value if isinstance(value, ConnectionUrl) else None
    secret = value.get_secret_value() if isinstance(value, SecretStr) else value.password or ""
    if not secret and isinstance(url, RedisUrl) and is_loopback(url.host):
        return ""
    if why := _weakness(secret, url.user if url else ""):
        what = f"the password in {variable}" if url else variable
        raise BadSettings(f"{what} {why}: APP_ENV=production refuses it; set one of your own")
    return secret


def _weakness(secret: str, user: str) -> str:
    if not secret:
        return "is missing"
    if secret.endswith(DEVELOPMENT_PASSWORD):
        return f"ends in {DEVELOPMENT_PASSWORD}, as those of development do"
    if user and secret.casefold() == user.casefold():
        return "is the user's name"
    if len(secret) < SHORTEST_PASSWORD:
        return f"is shorter than {SHORTEST_PASSWORD} characters"
    return ""


def _refuse_twin(variable: str, secret: str, seen: dict[str, str]) -> None:
    if secret in seen:
        raise BadSettings(
            f"{seen[secret]} and {variable} have the same password: APP_ENV=production wants one"
            " of its own for each, so that one leaked password opens one system"
        )
    seen[secret] = variable
