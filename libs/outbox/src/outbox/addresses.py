"""The address of a database or a broker, in every form in which it may be given.

Invariant: an address never shows its password, neither by `str` nor by `repr`. No error quotes the
text that was given, because a malformed one may have its password anywhere. See
decision 1111.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psycopg
import yarl
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from sqlalchemy import Engine
from sqlalchemy.engine import URL, Dialect, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine

from outbox.errors import InvalidSetting

DATABASE_FORM = "postgresql://user:password@host:port/database"
BROKER_FORM = "amqp://user:password@host:port/vhost"

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
_LIBPQ_SCHEMES = ("postgresql", "postgres")
_BROKER_SCHEMES = ("amqp", "amqps")
_PORTS = re.compile(r"\d{0,5}(,\d{0,5})*")
_CREDENTIALS = re.compile(r"(?<=://)([^\s:/@]*):\S+@")
_PASSWORD = re.compile(r"(password\s*=\s*)('(?:[^'\\]|\\.)*'|[^\s&]+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True, repr=False)
class DatabaseAddress:
    """Where a PostgreSQL database is, and who connects to it."""

    parameters: Mapping[str, Any]
    """By libpq's names (PostgreSQL, "Parameter Key Words"); the password is among them."""

    @classmethod
    def of(cls, given: Database) -> DatabaseAddress:
        """Read libpq's URL or key=value string, SQLAlchemy's URL with any driver, or an engine.

        Uses the URL of an engine, not its `connect_args`. Raises `InvalidSetting`.
        """
        if isinstance(given, DatabaseAddress):
            return given
        if isinstance(given, Engine | AsyncEngine):
            given = given.url
        if isinstance(given, URL):
            return cls(_from_sqlalchemy(given))
        if isinstance(given, str):
            return cls(_from_text(given))
        raise _not_a_database(f"this is {type(given).__name__}")

    @property
    def conninfo(self) -> str:
        """For libpq. Has the password: use it to connect, never show it."""
        return make_conninfo(**self.parameters)

    @property
    def engine_url(self) -> URL:
        """For SQLAlchemy, with psycopg. Has the password, which its `str` does not show."""
        query = dict(self.parameters)
        named = {"username": "user", "password": "password", "database": "dbname"}
        fields = {field: query.pop(name, None) for field, name in named.items()}
        return URL.create("postgresql+psycopg", query=query, **fields)

    @property
    def name(self) -> str:
        """`host:port/database`, for people."""
        host = self.parameters.get("host") or self.parameters.get("hostaddr") or ""
        port, name = self.parameters.get("port") or 5432, self.parameters.get("dbname") or ""
        return f"{host}:{port}/{name}"

    def __str__(self) -> str:
        return f"postgresql://{_login(self.parameters)}{self.name}"

    __repr__ = __str__


@dataclass(frozen=True, slots=True, repr=False)
class BrokerAddress:
    """Where a RabbitMQ virtual host is, and who connects to it."""

    url: yarl.URL
    """Has the password: use it to connect, never show it."""

    @classmethod
    def of(cls, given: Broker) -> BrokerAddress:
        """Read an AMQP URL (RabbitMQ, "URI Specification"). Raises `InvalidSetting`."""
        if isinstance(given, BrokerAddress):
            return given
        if not isinstance(given, str | yarl.URL):
            raise _not_a_broker(f"this is {type(given).__name__}")
        text = str(given)
        scheme, _, rest = text.partition("://")
        if scheme not in _BROKER_SCHEMES:
            raise _not_a_broker(_begins(text))
        host = re.split(r"[/?#]", rest, maxsplit=1)[0]
        if rest.count("@") > host.count("@") or host.count("@") > 1:
            raise _unreadable("broker_url", BROKER_FORM)
        try:
            url = yarl.URL(text)
        except ValueError:
            url = yarl.URL()
        if not url.host or url.fragment:
            raise _unreadable("broker_url", BROKER_FORM)
        return cls(url)

    @property
    def user(self) -> str:
        return self.url.user or "guest"

    @property
    def vhost(self) -> str:
        """The default is `/` (RabbitMQ, "URI Specification")."""
        return self.url.path.removeprefix("/") or "/"

    def __str__(self) -> str:
        return f"{self.url.scheme}://{self.user}:***@{self.url.host}:{self.url.port or 5672}" + (
            self.url.raw_path
        )

    __repr__ = __str__


Database = str | URL | Engine | AsyncEngine | DatabaseAddress
"""Every form of a database's address."""
Broker = str | yarl.URL | BrokerAddress
"""Every form of a broker's address."""


def on_psycopg(engine: AsyncEngine) -> AsyncEngine:
    """The engine, if it is on psycopg, which the library needs. Raises `InvalidSetting`."""
    dialect: Any = engine.dialect
    if (dialect.name, dialect.driver) != ("postgresql", "psycopg"):
        instead = f"this one is {dialect.name}+{dialect.driver}://"
        raise InvalidSetting("engine", f"has to be postgresql+psycopg://; {instead}")
    return engine


def masked(text: str) -> str:
    """A foreign text, such as an error's, with the passwords of all addresses in it hidden."""
    return _PASSWORD.sub(r"\1***", _CREDENTIALS.sub(r"\1:***@", text))


def _from_text(text: str) -> dict[str, Any]:
    scheme, is_url, _ = text.partition("://")
    if is_url and _SCHEME.fullmatch(scheme):
        if scheme not in _LIBPQ_SCHEMES and not scheme.startswith("postgresql+"):
            raise _not_a_database(_begins(text))
        return _url_checked(_sqlalchemy_text(text) if "+" in scheme else _libpq(text))
    if "=" not in text:
        raise _not_a_database(_begins(text))
    return _libpq(text)


def _sqlalchemy_text(text: str) -> dict[str, Any]:
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        url = None
    if url is None:
        raise _unreadable("database_url", DATABASE_FORM)
    return _from_sqlalchemy(url)


def _from_sqlalchemy(url: URL) -> dict[str, Any]:
    if url.get_backend_name() != "postgresql":
        raise _not_a_database(f"this begins with {url.drivername}://")
    query = dict(url.query)
    if "ssl" in query:  # asyncpg's word for libpq's
        query["sslmode"] = query.pop("ssl")
    plain = url.set(drivername="postgresql+psycopg", query=query)
    dialect: Dialect = plain.get_dialect()()
    _, parameters = dialect.create_connect_args(plain)
    # Through text and back, because libpq refuses parameters that it does not know.
    try:
        return conninfo_to_dict(make_conninfo(**parameters))
    except psycopg.ProgrammingError:
        pass
    raise _unreadable("database_url", DATABASE_FORM)


def _libpq(text: str) -> dict[str, Any]:
    try:
        return conninfo_to_dict(text)
    except psycopg.ProgrammingError:
        pass  # its text quotes what it cannot read
    raise _unreadable("database_url", DATABASE_FORM)


def _url_checked(parameters: dict[str, Any]) -> dict[str, Any]:
    """An @ or / in a password that is not percent-encoded ends up in the host or the name."""
    location = f"{parameters.get('host', '')}{parameters.get('dbname', '')}"
    if "@" in location or not _PORTS.fullmatch(str(parameters.get("port", ""))):
        raise _unreadable("database_url", DATABASE_FORM)
    return parameters


def _login(parameters: Mapping[str, Any]) -> str:
    user, secret = parameters.get("user", ""), ":***" if parameters.get("password") else ""
    return f"{user}{secret}@" if user or secret else ""


def _begins(text: str) -> str:
    """How the text begins; quoted only if that cannot be a password."""
    scheme, is_url, _ = text.partition("://")
    known = is_url and _SCHEME.fullmatch(scheme)
    return f"this begins with {scheme}://" if known else "this is no URL"


def _not_a_database(instead: str) -> InvalidSetting:
    return InvalidSetting("database_url", f"has to be {DATABASE_FORM} or an engine; {instead}")


def _not_a_broker(instead: str) -> InvalidSetting:
    return InvalidSetting("broker_url", f"has to be {BROKER_FORM}; {instead}")


def _unreadable(argument: str, form: str) -> InvalidSetting:
    rule = "percent-encode what is special in user and password"
    if argument == "database_url":
        rule += ", give only parameters that libpq knows"
    return InvalidSetting(argument, f"cannot be read as {form}: {rule}")
