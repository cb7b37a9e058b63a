"""What a process of the console is told, read from options or variables, and what it refuses.

A value that may have passwords can be in a file that a variable with `_FILE` names; the variable
itself wins. An unknown variable that begins with `CONSOLE_` stops the start.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from ipaddress import ip_address
from pathlib import Path

from outbox.addresses import DatabaseAddress
from outbox.console.access.proxy import Proxy
from outbox.console.access.rules import LOOPBACK, Access
from outbox.console.access.users import DEVELOPMENT_PASSWORD, Users
from outbox.console.services import ConsoleService
from outbox.errors import InvalidSetting
from outbox.worker import Application

ENVIRONMENTS = ("development", "test", "production")
FILES = ("CONSOLE_SERVICES", "CONSOLE_BROKERS", "CONSOLE_MANAGEMENT")
"""Variables that may be in a file."""
VARIABLES = frozenset(
    {
        *FILES,
        *(f"{name}_FILE" for name in FILES),
        "CONSOLE_ALLOWED_HOSTS",
        "CONSOLE_APPS",
        "CONSOLE_HOST",
        "CONSOLE_PORT",
        "CONSOLE_PROXY_ROLE_HEADER",
        "CONSOLE_PROXY_USER_HEADER",
        "CONSOLE_TRUSTED_PROXIES",
        "CONSOLE_USERS_FILE",
    }
)


@dataclass(frozen=True, slots=True)
class Given:
    """Texts `name=value` of each kind, by the variable that they can also come from."""

    services: Sequence[str]
    brokers: Sequence[str] = ()
    management: Sequence[str] = ()
    apps: Sequence[str] = ()

    def known(self, load: Callable[[str], Application]) -> list[ConsoleService]:
        """The services; `load` finds an application. Raises `InvalidSetting`."""
        databases = _by_name("service", self.services)
        if not databases:
            rule = "is missing: --service NAME=URL, or CONSOLE_SERVICES, for each service"
            raise InvalidSetting("service", rule)
        others = {
            "broker": _by_name("broker", self.brokers),
            "management": _by_name("management", self.management),
            "app": _by_name("app", self.apps),
        }
        for kind, found in others.items():
            if unknown := found.keys() - databases.keys():
                raise InvalidSetting(kind, f"names {min(unknown)}, which is no service here")
        return [
            ConsoleService(
                name,
                url,
                others["broker"].get(name),
                others["management"].get(name),
                load(others["app"][name]) if name in others["app"] else None,
            )
            for name, url in databases.items()
        ]


def with_files(given: Sequence[str], variable: str, environ: Mapping[str, str]) -> list[str]:
    """What was given, else the words of the file that `<variable>_FILE` names."""
    file = environ.get(f"{variable}_FILE")
    if given or not file:
        return list(given)
    try:
        return Path(file).read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as problem:
        reason = problem.strerror if isinstance(problem, OSError) else "it is not UTF-8"
        raise InvalidSetting(f"{variable}_FILE", f"{file} cannot be read: {reason}") from None


def refuse_unknown(environ: Iterable[str]) -> None:
    """Raise `InvalidSetting` for a misspelt variable, which would mean a default."""
    for name in sorted(environ):
        if name.startswith("CONSOLE_") and name not in VARIABLES:
            near = get_close_matches(name, VARIABLES, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(sorted(VARIABLES))}"
            raise InvalidSetting(name, f"is no setting; {hint}")


def access_of(
    users_file: Path | None,
    proxy: Proxy,
    host: str,
    allowed_hosts: str | None,
    *,
    is_production: bool,
) -> Access:
    """Who may log in. Raises `InvalidSetting`.

    Logins of development are for this machine alone, and never for production: `host` is where
    others reach the console.
    """
    named = [part.strip().lower() for part in (allowed_hosts or "").split(",")]
    known = frozenset(filter(None, named)) or LOOPBACK | {_in_url(host)}
    if users_file is not None:
        users = Users.read(users_file)
        if is_production:
            users.refuse_development()
        return Access(users, proxy, known)
    if proxy.logs_in:
        return Access(None, proxy, known)
    if is_production:
        rule = "is missing: APP_ENV=production needs CONSOLE_USERS_FILE or a proxy's user header"
        raise InvalidSetting("users file", rule)
    if not _is_loopback(host):
        rule = f"is missing: on {host} everybody could use the logins of development"
        raise InvalidSetting("users file", f"{rule}; set CONSOLE_USERS_FILE, or CONSOLE_HOST")
    return Access(Users.of_development(), proxy, known)


def is_production(environment: str) -> bool:
    """Raises `InvalidSetting` for an environment that nobody knows, such as Production."""
    if environment not in ENVIRONMENTS:
        raise InvalidSetting("APP_ENV", f"is one of {', '.join(ENVIRONMENTS)}")
    return environment == "production"


def refuse_weak_passwords(services: Iterable[ConsoleService]) -> None:
    """Raise `InvalidSetting` for a database's password of development, or none."""
    for service in services:
        address = DatabaseAddress.of(service.database_url)
        password = str(address.parameters.get("password") or "")
        host = str(address.parameters.get("host") or "/")
        if password.endswith(DEVELOPMENT_PASSWORD) or not (password or host.startswith("/")):
            rule = f"has no password of its own for {service.name}: APP_ENV=production refuses it"
            raise InvalidSetting("service", rule)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host.lower()


def _by_name(kind: str, given: Sequence[str]) -> dict[str, str]:
    """No error quotes a value: it may have a password."""
    found: dict[str, str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not value or name in found or "/" in name:
            raise InvalidSetting(kind, "is NAME=VALUE, with each name once")
        found[name] = value
    return found
