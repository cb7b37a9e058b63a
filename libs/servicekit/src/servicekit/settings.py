"""Settings are environment variables, read once; whatever is wrong with them is one line.

A service subclasses `ServiceSettings`, names the prefixes it owns, and calls `load`. A variable of
an owned prefix that no field knows stops the start: a typo must not silently mean a default.
"""

import os
from collections.abc import Iterable
from datetime import timedelta
from difflib import get_close_matches
from enum import StrEnum
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import AliasChoices, Field, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from servicekit.startup import BadSettings
from servicekit.urls import AmqpUrl, ConnectionUrl, RedisUrl

__all__ = [
    "AppEnv",
    "LogFormat",
    "LogLevel",
    "Port",
    "Probability",
    "Seconds",
    "ServiceSettings",
    "load",
]

S = TypeVar("S", bound="ServiceSettings")
T = TypeVar("T")

DEVELOPMENT_PASSWORD = "-dev-only"  # noqa: S105 the ending that production refuses

Port = Annotated[int, Field(ge=1, le=65535, examples=[8000])]
Probability = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False, examples=[0.8])]
Seconds = Annotated[float, Field(ge=0, le=31_536_000, allow_inf_nan=False, examples=[5])]


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


class ServiceSettings(BaseSettings):
    """The variables every service has. Nothing but the environment is read: no `.env`, no files."""

    model_config = SettingsConfigDict(
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        validate_default=True,
        populate_by_name=True,
    )
    owned_prefixes: ClassVar[tuple[str, ...]] = ()
    """Variables that begin so belong to this service: an unknown one is a mistake."""
    foreign_variables: ClassVar[frozenset[str]] = frozenset()
    """Names under an owned prefix that somebody else reads."""
    shared_prefixes: ClassVar[tuple[str, ...]] = ("IDEMPOTENCY_",)
    """Variables that begin so are among the fields below."""

    app_env: AppEnv = AppEnv.DEVELOPMENT
    log_level: LogLevel = LogLevel.INFO
    log_format: LogFormat = LogFormat.JSON
    http_host: str = Field("127.0.0.1", min_length=1, examples=["0.0.0.0"])  # noqa: S104 an example
    rabbitmq_url: AmqpUrl
    redis_url: RedisUrl | None = None
    idempotency_key_ttl_hours: int = Field(24, ge=1, le=8760, examples=[24])

    @property
    def key_lifetime(self) -> timedelta:
        """How long the answer to an `Idempotency-Key` is kept."""
        return timedelta(hours=self.idempotency_key_ttl_hours)

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


def load(settings: type[S]) -> S:
    """Read `settings` from the environment; raise BadSettings (one line) on anything wrong."""
    names = {name: _variable(name, field) for name, field in settings.model_fields.items()}
    _refuse_unknown(settings, names.values())
    try:
        loaded = settings.model_validate({})
    except ValidationError as error:
        lines = [_sentence(settings, names, one) for one in error.errors(include_url=False)]
        raise BadSettings("; ".join(dict.fromkeys(lines))) from None
    if loaded.app_env is AppEnv.PRODUCTION:
        _refuse_development_secrets(loaded, names)
    return loaded


def _variable(name: str, field: FieldInfo) -> str:
    alias = field.validation_alias
    if isinstance(alias, AliasChoices):
        alias = next(choice for choice in alias.choices if isinstance(choice, str))
    return alias if isinstance(alias, str) else name.upper()


def _refuse_unknown(settings: type[ServiceSettings], known: Iterable[str]) -> None:
    names = {*known, *settings.foreign_variables}
    prefixes = (*settings.owned_prefixes, *settings.shared_prefixes)
    for variable in sorted(os.environ):
        if variable.startswith(prefixes) and variable not in names:
            near = get_close_matches(variable, names, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(sorted(names))}"
            raise BadSettings(f"{variable}: there is no such setting; {hint}")


def _sentence(settings: type[ServiceSettings], names: dict[str, str], error: ErrorDetails) -> str:
    by_alias = {alias: name for name, alias in names.items()}
    place = str(error["loc"][0]) if error["loc"] else ""
    name = by_alias.get(place, place.lower())
    message = error["msg"].removeprefix("Value error, ")
    if name not in settings.model_fields:
        return message
    field = settings.model_fields[name]
    if error["type"] == "missing":
        return f"{names[name]} is not set{_example(names[name], field)}"
    secret = bool(_kinds(field, ConnectionUrl)) or bool(_kinds(field, SecretStr))
    value = "" if secret else f" {str(error['input'])[:60]!r}:"
    return f"{names[name]}{value} {_lower_first(message)}{_example(names[name], field)}"


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]


def _kinds(field: FieldInfo, kind: type[T]) -> list[type[T]]:
    """The classes of `kind` in a field's annotation, unions included."""
    annotation: Any = field.annotation
    candidates = [annotation, *getattr(annotation, "__args__", ())]
    return [one for one in candidates if isinstance(one, type) and issubclass(one, kind)]


def _example(variable: str, field: FieldInfo) -> str:
    urls = _kinds(field, ConnectionUrl)
    if urls:
        return f" (example: {variable}={urls[0].example})"
    return f" (example: {variable}={field.examples[0]})" if field.examples else ""


def _refuse_development_secrets(loaded: ServiceSettings, names: dict[str, str]) -> None:
    for name, variable in names.items():
        value = getattr(loaded, name)
        if not isinstance(value, ConnectionUrl | SecretStr):
            continue
        if name not in loaded.model_fields_set:
            raise BadSettings(f"{variable} is not set: APP_ENV=production has no default for it")
        secret = value.get_secret_value() if isinstance(value, SecretStr) else value.password
        if not secret and not isinstance(value, RedisUrl):
            raise BadSettings(f"{variable} has no password: APP_ENV=production wants one")
        if secret and secret.endswith(DEVELOPMENT_PASSWORD):
            raise BadSettings(
                f"{variable} ends in {DEVELOPMENT_PASSWORD}: APP_ENV=production refuses"
                " the development password; set one of your own"
            )
