"""Settings are environment variables, read once; anything wrong with them is one line.

A service subclasses `ServiceSettings`, names the prefixes it owns, and calls `load`. A variable of
an owned prefix that no field knows stops the start, or a typo would mean a default. So does a known
name in other letters. An empty variable counts as not set. See decisions 0007 and 1222.

A secret may stand in a file that `<variable>_FILE` names; the variable itself wins.

One file, because a variable is read, checked and explained in one pass.
"""

import os
from collections.abc import Collection, Mapping
from datetime import timedelta
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import (
    AfterValidator,
    AliasChoices,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
)
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from outbox import ConsumerSettings, Retry
from outbox.operations_api import Tokens
from servicekit.http.access_rules import LOOPBACK_HOSTS, AccessRules, Hosts, Origins
from servicekit.process.former_names import unread_variables
from servicekit.process.production import refuse_open_access, refuse_weak_secrets
from servicekit.process.startup_errors import BadSettings
from servicekit.process.urls import AmqpUrl, ConnectionUrl

__all__ = [
    "AppEnv",
    "Auth",
    "BaseUrl",
    "BrokerUser",
    "LogFormat",
    "LogLevel",
    "Port",
    "Probability",
    "ProcessSettings",
    "Seconds",
    "ServiceSettings",
    "load",
]

S = TypeVar("S", bound="ProcessSettings")
T = TypeVar("T")

BrokerUser = Annotated[str, Field(pattern=r"^\S+$", max_length=255)]
Port = Annotated[int, Field(ge=1, le=65535)]
Probability = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
BaseUrl = Annotated[str, Field(pattern=r"^https?://[^\s/]+(/\S*)?$")]
Seconds = Annotated[float, Field(ge=0, le=31_536_000, allow_inf_nan=False)]


class AppEnv(StrEnum):
    DEVELOPMENT = "development"
    TEST = "test"
    PRODUCTION = "production"


class LogFormat(StrEnum):
    JSON = "json"
    CONSOLE = "console"


class LogLevel(StrEnum):
    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"


class Switch(StrEnum):
    ON = "on"
    OFF = "off"


class Auth(StrEnum):
    """What asks callers for a token. This version does not; something in front may."""

    NONE = "none"


def _known_auth(value: object) -> object:
    if value not in (None, *Auth):
        raise ValueError(
            "there is no authentication here yet; none, the only value, says it is done in front"
        )
    return value


def _number_of_processes(value: object) -> object:
    if value == "auto":
        return os.cpu_count() or 1
    if isinstance(value, str) and not value.isdecimal():
        raise ValueError("is neither auto nor a whole number of at least 1")
    return value


def _known_tokens(value: SecretStr | None) -> SecretStr | None:
    Tokens.parse(value.get_secret_value() if value else "")
    return value


TOKENS_EXAMPLE = f"deploy:operator:{'0123456789abcdef' * 4}"
Processes = Annotated[int, BeforeValidator(_number_of_processes), Field(ge=1, le=256)]


class ProcessSettings(BaseSettings):
    """The variables every process has. Nothing but the environment is read: no `.env`."""

    model_config = SettingsConfigDict(
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        validate_default=True,
        populate_by_name=True,
    )
    owned_prefixes: ClassVar[tuple[str, ...]] = ()
    """Variables with these prefixes belong to this service: an unknown one is a mistake."""
    foreign_variables: ClassVar[frozenset[str]] = frozenset()
    """Names with an owned prefix that another program reads, directly or from a `_FILE`."""
    shared_prefixes: ClassVar[tuple[str, ...]] = ("ALLOWED_HOST", "CORS_", "API_DOC")
    """Prefixes of the fields of a base class."""

    app_env: AppEnv = AppEnv.DEVELOPMENT
    log_level: LogLevel = LogLevel.INFO
    log_format: LogFormat = LogFormat.JSON
    http_host: str = Field("127.0.0.1", pattern=r"^\S+$")
    allowed_hosts: Annotated[Hosts | None, Field(examples=["localhost,api.example.com"])] = None
    cors_origins: Annotated[Origins, Field(examples=["https://app.example.com"])] = frozenset()
    api_docs: Annotated[Switch | None, Field(examples=["on"])] = None
    auth: Annotated[Auth | None, BeforeValidator(_known_auth), Field(examples=["none"])] = None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 the framework names them
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings

    @property
    def access(self) -> AccessRules:
        """The hosts and origins that may call: loopback and HTTP_HOST, unless others are given."""
        host = f"[{self.http_host}]" if ":" in self.http_host else self.http_host
        docs = self.api_docs is None and self.app_env is not AppEnv.PRODUCTION
        return AccessRules(
            self.allowed_hosts or LOOPBACK_HOSTS | {host.lower()},
            self.cors_origins,
            docs or self.api_docs is Switch.ON,
        )

    def refuse_in_production(self) -> None:
        """Refuse in production what is particular to one service. Raises BadSettings."""


class ServiceSettings(ProcessSettings):
    """The variables of a service that has a broker and answers requests once per key."""

    shared_prefixes: ClassVar[tuple[str, ...]] = (
        *ProcessSettings.shared_prefixes,
        "API_PROC",
        "IDEMPOTENCY_",
        "HANDLER_",
        "INBOX_",
        "OPERATIONS_",
    )

    rabbitmq_url: AmqpUrl
    api_processes: Processes = 1
    """How many processes answer requests on the API's port."""
    idempotency_key_ttl_hours: int = Field(24, ge=1, le=8760)
    handler_time_limit: float = Field(15.0, ge=0, lt=60, allow_inf_nan=False)
    """Below `ConsumerSettings.hangs_after`."""
    handler_retry_ceiling: float = Field(300.0, ge=1, le=86_400)
    """Seconds between two retries of an event at most."""
    handler_retry_deadline: float = Field(86_400.0, ge=1, le=31_536_000)
    """Seconds after its first failure until which an event is retried."""
    inbox_concurrency: int = Field(4, ge=1, le=64)
    """Workers of each queue in one process."""
    inbox_prefetch: int = Field(400, ge=1, le=65_535)
    """Deliveries of each queue that a process has received and not acked, at most."""
    inbox_resend: Switch = Switch.ON
    """Whether consumers ask for events that were lost on their way."""
    operations_tokens: Annotated[
        SecretStr | None, AfterValidator(_known_tokens), Field(examples=[TOKENS_EXAMPLE])
    ] = None
    """Who may call the HTTP operations on the port of a worker."""
    journey_retention_days: int = Field(7, ge=1, le=3650)
    """How long the times of applied events are kept."""

    @property
    def key_lifetime(self) -> timedelta:
        """How long the answer to an `Idempotency-Key` is kept."""
        return timedelta(hours=self.idempotency_key_ttl_hours)

    @property
    def tokens(self) -> Tokens:
        """The tokens of the HTTP operations."""
        given = self.operations_tokens
        return Tokens.parse(given.get_secret_value() if given else "")

    @property
    def senders(self) -> Mapping[str, Collection[str]]:
        """The broker users that may publish for a source; see `ConsumerSettings`."""
        return {}

    @property
    def answering(self) -> tuple[str, ...]:
        """The sources that send events again when they are asked."""
        return ()

    def of_consumers(self) -> ConsumerSettings:
        """What every consumer of the service gets."""
        retry = Retry(ceiling=self.handler_retry_ceiling, deadline=self.handler_retry_deadline)
        return ConsumerSettings(
            senders=self.senders,
            time_limit=self.handler_time_limit,
            failures={Exception: retry},
            concurrency=self.inbox_concurrency,
            prefetch=self.inbox_prefetch,
            resend=self.answering if self.inbox_resend is Switch.ON else (),
        )


def load(settings: type[S]) -> S:
    """Read `settings` from the environment; raise BadSettings (one line) on anything wrong."""
    names = {name: _variable(name, field) for name, field in settings.model_fields.items()}
    files = {f"{names[name]}_FILE": name for name in names if _is_secret(settings, name)}
    foreign = {f"{name}{end}" for name in settings.foreign_variables for end in ("", "_FILE")}
    _refuse_unknown(settings, {*names.values(), *files, *foreign})
    try:
        loaded = settings.model_validate(_read(files, names))
    except ValidationError as error:
        lines = [_sentence(settings, names, one) for one in error.errors(include_url=False)]
        raise BadSettings("; ".join(dict.fromkeys([*lines, *unread_variables()]))) from None
    if loaded.app_env is AppEnv.PRODUCTION:
        refuse_open_access(loaded.http_host, authentication_in_front=loaded.auth is not None)
        values = {variable: getattr(loaded, name) for name, variable in names.items()}
        given = {names[name] for name in loaded.model_fields_set}
        refuse_weak_secrets(values, values.keys() - given)
        loaded.refuse_in_production()
    return loaded


def _read(files: dict[str, str], names: dict[str, str]) -> dict[str, str]:
    """Read secrets from the files that variables name, where the secret itself is not set."""
    found: dict[str, str] = {}
    for variable, name in files.items():
        file = os.environ.get(variable)
        if file and not os.environ.get(names[name]):
            try:
                found[name] = Path(file).read_text().strip()
            except (OSError, UnicodeDecodeError) as problem:
                reason = problem.strerror if isinstance(problem, OSError) else "not UTF-8"
                raise BadSettings(f"{variable}: cannot read {file}: {reason}") from None
            if not found[name]:
                raise BadSettings(f"{variable}: {file} is empty")
    return found


def _is_secret(settings: type[ProcessSettings], name: str) -> bool:
    field = settings.model_fields[name]
    return bool(_kinds(field, ConnectionUrl) or _kinds(field, SecretStr))


def _variable(name: str, field: FieldInfo) -> str:
    alias = field.validation_alias
    if isinstance(alias, AliasChoices):
        alias = next(choice for choice in alias.choices if isinstance(choice, str))
    return alias if isinstance(alias, str) else name.upper()


def _refuse_unknown(settings: type[ProcessSettings], known: Collection[str]) -> None:
    prefixes = (*settings.owned_prefixes, *settings.shared_prefixes)
    for variable in sorted(os.environ):
        if variable in known:
            continue
        if variable.upper() in known:
            raise BadSettings(f"{variable}: names are read exactly; write {variable.upper()}")
        if variable.startswith(prefixes):
            near = get_close_matches(variable, known, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(sorted(known))}"
            raise BadSettings(f"{variable}: there is no such setting; {hint}")


def _sentence(settings: type[ProcessSettings], names: dict[str, str], error: ErrorDetails) -> str:
    by_alias = {alias: name for name, alias in names.items()}
    where = str(error["loc"][0]) if error["loc"] else ""
    name = by_alias.get(where, where.lower())
    message = error["msg"].removeprefix("Value error, ")
    if name not in settings.model_fields:
        return message
    field = settings.model_fields[name]
    if error["type"] == "missing":
        return f"{names[name]} is not set{_example(names[name], field)}"
    value = "" if _is_secret(settings, name) else f" {str(error['input'])[:60]!r}:"
    return f"{names[name]}{value} {_lower_first(message)}{_example(names[name], field)}"


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]


def _kinds(field: FieldInfo, kind: type[T]) -> list[type[T]]:
    """The classes of `kind` in a field's annotation, unions included."""
    annotation: Any = field.annotation
    candidates = [annotation, *getattr(annotation, "__args__", ())]
    return [one for one in candidates if isinstance(one, type) and issubclass(one, kind)]


def _example(variable: str, field: FieldInfo) -> str:
    """A value that works as written: that of the URL's kind, the field's own, or its default."""
    urls: list[Any] = [one.example for one in _kinds(field, ConnectionUrl)]
    value = [*urls, *(field.examples or ()), field.default][0]
    return f" (example: {variable}={value})" if isinstance(value, str | int | float) else ""
