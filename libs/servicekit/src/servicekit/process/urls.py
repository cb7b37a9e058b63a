"""URLs of PostgreSQL, RabbitMQ and Redis: checked when the settings are read, shown masked.

The values are plain strings for the drivers. Neither `repr()` nor `shown` contains the password, so
settings can be printed and logged. The outbox library reads URLs by its own, wider rules
(`outbox.addresses`); a setting has one form only.
"""

import re
from collections.abc import Set
from ipaddress import ip_address
from typing import Any, ClassVar, Self
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from outbox.addresses import masked

__all__ = ["AmqpUrl", "ConnectionUrl", "PostgresUrl", "RedisUrl", "is_loopback"]

_LOGIN = frozenset(
    {"dbname", "host", "hostaddr", "passfile", "password", "port", "service", "user", "username"}
)
_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


def is_loopback(host: str) -> bool:
    """Whether only this machine can be meant (RFC 1122, 3.2.1.3; RFC 4291, 2.5.3; RFC 6761, 6.3).

    Any other name counts as not: what it resolves to may change.
    """
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


class ConnectionUrl(str):
    """A URL with credentials. Each kind names its schemes and an example."""

    __slots__ = ()
    schemes: ClassVar[tuple[str, ...]] = ()
    example: ClassVar[str] = ""
    parameters: ClassVar[Set[str]] = frozenset()
    """What the query may hold. None of it names a user, a password or a host."""

    @classmethod
    def parse(cls, value: object) -> Self:
        """Return `value` as this kind of URL, or raise ValueError with a sentence that hides it."""
        if isinstance(value, cls):
            return value
        if not isinstance(value, str):
            raise ValueError("is not a URL")  # noqa: TRY004 pydantic reports ValueError only
        try:
            parts = urlsplit(value)
            port = parts.port
        except ValueError:
            raise ValueError("is not a URL (is the port a number from 1 to 65535?)") from None
        cls._check(value, parts, port)
        return cls(value)

    @classmethod
    def _check(cls, value: str, parts: SplitResult, port: int | None) -> None:
        if parts.scheme not in cls.schemes:
            raise ValueError(f"does not start with {cls.schemes[0]}://")
        if not parts.hostname:
            raise ValueError("names no host")
        if port == 0:
            raise ValueError("has port 0")
        if _is_not_encoded(value, parts):
            raise ValueError("is not percent-encoded (a % or @ or # or a blank in the password?)")
        cls._check_path(parts.path)
        cls._check_query(parts.query)

    @classmethod
    def _check_query(cls, query: str) -> None:
        """Refuse a login in the query: the drivers prefer it to the one in front of the host."""
        found = {name for name, _ in parse_qsl(query, keep_blank_values=True)}
        if login := sorted(found & _LOGIN):
            raise ValueError(f"has {', '.join(login)} behind the ?, which would win")
        if found - cls.parameters:  # not shown: it may be a piece of a password
            raise ValueError("has a parameter behind the ? that docs/running.md does not list")

    @classmethod
    def _check_path(cls, path: str) -> None:
        """Refuse a path this kind of server cannot use."""

    @property
    def host(self) -> str:
        """The host alone, without brackets."""
        return urlsplit(self).hostname or ""

    @property
    def user(self) -> str:
        """The user, decoded; empty when there is none."""
        return unquote(urlsplit(self).username or "")

    @property
    def password(self) -> str | None:
        """The password, decoded; None when there is none."""
        secret = urlsplit(self).password
        return None if secret is None else unquote(secret)

    @property
    def address(self) -> str:
        """`host:port/path`, for sentences: no user, no password, no query."""
        parts = urlsplit(self)
        return parts.netloc.rpartition("@")[2] + parts.path

    @property
    def shown(self) -> str:
        """The URL with its password masked."""
        return masked(urlsplit(self)._replace(query="").geturl())

    def __repr__(self) -> str:
        return repr(self.shown)

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: type[Any], handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(cls.parse)


def _is_not_encoded(value: str, parts: SplitResult) -> bool:
    """Whether two readers could see the end of the password at two points."""
    return (
        "#" in value
        or parts.netloc.count("@") > 1
        or bool(_BROKEN_ESCAPE.search(value))
        or any(c.isspace() or not c.isprintable() for c in value)
    )


class PostgresUrl(ConnectionUrl):
    """`postgresql://user[:password]@host[:port]/database` (libpq, section 32.1.1.2)."""

    __slots__ = ()
    schemes = ("postgresql", "postgres")
    example = "postgresql://user:password@127.0.0.1:5432/database"
    parameters = frozenset(
        [
            "application_name",
            "channel_binding",
            "client_encoding",
            "connect_timeout",
            "gssencmode",
            "keepalives",
            "keepalives_count",
            "keepalives_idle",
            "keepalives_interval",
            "load_balance_hosts",
            "options",
            "require_auth",
            "sslcert",
            "sslcrl",
            "sslkey",
            "sslmode",
            "sslnegotiation",
            "sslrootcert",
            "target_session_attrs",
            "tcp_user_timeout",
        ]
    )

    @classmethod
    def _check_path(cls, path: str) -> None:
        if len(path) < 2 or "/" in path[1:]:
            raise ValueError("names no database")

    @classmethod
    def _check(cls, value: str, parts: SplitResult, port: int | None) -> None:
        super()._check(value, parts, port)
        if not parts.username:
            raise ValueError("names no user")

    @property
    def sqlalchemy(self) -> str:
        """The same address for SQLAlchemy on psycopg 3, sync or async."""
        return "postgresql+psycopg://" + self.partition("://")[2]


class AmqpUrl(ConnectionUrl):
    """`amqp://user:password@host[:port]/vhost`, the vhost percent-encoded (RabbitMQ URI spec)."""

    __slots__ = ()
    schemes = ("amqp", "amqps")
    example = "amqp://user:password@127.0.0.1:5672/%2F"
    parameters = frozenset(
        ["auth", "cafile", "capath", "certfile", "heartbeat", "keyfile", "name", "timeout"]
    )

    @property
    def user(self) -> str:
        """The user, decoded; RabbitMQ's `guest` when there is none."""
        return unquote(urlsplit(self).username or "guest")

    @classmethod
    def _check_path(cls, path: str) -> None:
        if path.strip("/").count("/"):
            raise ValueError("has a vhost with a bare / (write %2F)")


class RedisUrl(ConnectionUrl):
    """`redis://[[user]:password@]host[:port]/number`."""

    __slots__ = ()
    schemes = ("redis", "rediss")
    example = "redis://127.0.0.1:6379/0"
    parameters = frozenset(
        [
            "client_name",
            "health_check_interval",
            "protocol",
            "socket_connect_timeout",
            "socket_keepalive",
            "socket_timeout",
            "ssl_ca_certs",
            "ssl_ca_path",
            "ssl_certfile",
            "ssl_keyfile",
        ]
    )
