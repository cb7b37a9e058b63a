"""Whatever is wrong with the environment is one line: the variable, and never a secret."""

from __future__ import annotations

from typing import ClassVar

import pytest
from pydantic import Field, SecretStr, model_validator

from servicekit.settings import LogFormat, Port, Probability, Seconds, ServiceSettings, load
from servicekit.startup import BadSettings
from servicekit.urls import AmqpUrl, PostgresUrl, RedisUrl

DATABASE = "postgresql://orders:orders-dev-only@127.0.0.1:5432/orders"
BROKER = "amqp://orders:orders-dev-only@127.0.0.1:5672/"


class ToySettings(ServiceSettings):
    owned_prefixes: ClassVar[tuple[str, ...]] = ("TOYS_", "PROCESSING_", "DATABASE_URL_")
    foreign_variables: ClassVar[frozenset[str]] = frozenset({"DATABASE_URL_OTHER"})

    database_url: PostgresUrl = Field(PostgresUrl(DATABASE), validation_alias="DATABASE_URL_TOYS")
    rabbitmq_url: AmqpUrl = AmqpUrl(BROKER)
    toys_port: Port = 8000
    processing_success_rate: Probability = 0.8
    processing_delay_min: Seconds = 0
    processing_delay_max: Seconds = 0
    toys_key: SecretStr = SecretStr("key-dev-only")

    @model_validator(mode="after")
    def _delays_in_order(self) -> ToySettings:
        if self.processing_delay_min > self.processing_delay_max:
            raise ValueError("PROCESSING_DELAY_MIN is above PROCESSING_DELAY_MAX")
        return self


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("APP_ENV", "LOG_LEVEL", "LOG_FORMAT", "HTTP_HOST", "RABBITMQ_URL", "REDIS_URL"):
        monkeypatch.delenv(name, raising=False)


def refusal(monkeypatch: pytest.MonkeyPatch, **variables: str) -> str:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(BadSettings) as raised:
        load(ToySettings)
    line = str(raised.value)
    assert "\n" not in line
    return line


def test_without_any_variable_the_development_defaults_hold() -> None:
    settings = load(ToySettings)
    assert settings.database_url == DATABASE
    assert settings.http_host == "127.0.0.1"
    assert settings.redis_url is None
    assert settings.log_format is LogFormat.JSON


def test_variables_are_read_and_empty_ones_are_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOYS_PORT", "8100")
    monkeypatch.setenv("REDIS_URL", "")
    monkeypatch.setenv("DATABASE_URL_TOYS", "postgresql://u@h/d")
    monkeypatch.setenv("DATABASE_URL_OTHER", "postgresql://u@h/other")
    settings = load(ToySettings)
    assert settings.toys_port == 8100
    assert settings.redis_url is None
    assert settings.database_url == "postgresql://u@h/d"
    assert isinstance(settings.database_url, PostgresUrl)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("APP_ENV", "prod"),
        ("LOG_LEVEL", "loud"),
        ("LOG_FORMAT", "xml"),
        ("TOYS_PORT", "http"),
        ("TOYS_PORT", "0"),
        ("TOYS_PORT", "65536"),
        ("PROCESSING_SUCCESS_RATE", "1.1"),
        ("PROCESSING_SUCCESS_RATE", "nan"),
        ("PROCESSING_DELAY_MAX", "-1"),
        ("PROCESSING_DELAY_MAX", "inf"),
    ],
)
def test_a_malformed_value_is_named_with_its_variable(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    line = refusal(monkeypatch, **{variable: value})
    assert line.startswith(f"{variable} '{value}': ")


@pytest.mark.parametrize(
    "value",
    [
        "nonsense",
        "mysql://u:hidden@h/d",
        "postgresql://u:hidden@h:port/d",
        "postgresql://u:hidden@h:99999/d",
        "postgresql://u:hidden@h:0/d",
        "postgresql://u:hidden@/d",
        "postgresql://u:hidden@h",
        "postgresql://u:hidden@h/",
        "postgresql://h/d",
        "postgresql://u:hidden%@h/d",
        "postgresql://u:hid den@h/d",
        "postgresql://[::1/d",
    ],
)
def test_a_nonsensical_database_url_is_one_line_with_an_example_and_no_secret(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    line = refusal(monkeypatch, DATABASE_URL_TOYS=value)
    assert line.startswith("DATABASE_URL_TOYS ")
    assert "example: DATABASE_URL_TOYS=postgresql://" in line
    assert "hid" not in line


@pytest.mark.parametrize("value", ["http://h", "amqp://", "amqp://h/a/b", "amqp://h:x/"])
def test_a_nonsensical_broker_url_is_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    assert refusal(monkeypatch, RABBITMQ_URL=value).startswith("RABBITMQ_URL ")


@pytest.mark.parametrize("value", ["amqp://u:p@h:5672/", "amqp://u:p@h:5672/%2F", "amqps://h/v"])
def test_broker_urls_in_use_are_taken(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("RABBITMQ_URL", value)
    assert load(ToySettings).rabbitmq_url == value


@pytest.mark.parametrize(
    ("typo", "meant"),
    [("TOYS_PROT", "TOYS_PORT"), ("PROCESSING_DELAY_MAXX", "PROCESSING_DELAY_MAX")],
)
def test_an_unknown_variable_of_an_owned_prefix_asks_what_was_meant(
    monkeypatch: pytest.MonkeyPatch, typo: str, meant: str
) -> None:
    line = refusal(monkeypatch, **{typo: "1"})
    assert line == f"{typo}: there is no such setting; did you mean {meant}?"


def test_what_is_wrong_between_settings_is_said_too(monkeypatch: pytest.MonkeyPatch) -> None:
    line = refusal(monkeypatch, PROCESSING_DELAY_MIN="2", PROCESSING_DELAY_MAX="1")
    assert line == "PROCESSING_DELAY_MIN is above PROCESSING_DELAY_MAX"


def test_a_setting_without_a_default_is_asked_for() -> None:
    with pytest.raises(BadSettings, match=r"^RABBITMQ_URL is not set \(example: RABBITMQ_URL=amqp"):
        load(ServiceSettings)


PRODUCTION = {
    "APP_ENV": "production",
    "DATABASE_URL_TOYS": "postgresql://u:own@h/d",
    "RABBITMQ_URL": "amqp://u:own@h/",
    "TOYS_KEY": "own",
}


def test_production_takes_passwords_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in PRODUCTION.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("REDIS_URL", "redis://h/0")
    assert load(ToySettings).app_env == "production"


@pytest.mark.parametrize(
    ("variable", "value", "why"),
    [
        ("DATABASE_URL_TOYS", "", "is not set"),
        ("RABBITMQ_URL", "", "is not set"),
        ("TOYS_KEY", "", "is not set"),
        ("DATABASE_URL_TOYS", DATABASE, "ends in -dev-only"),
        ("DATABASE_URL_TOYS", "postgresql://u:own%2ddev-only@h/d", "ends in -dev-only"),
        ("TOYS_KEY", "key-dev-only", "ends in -dev-only"),
        ("DATABASE_URL_TOYS", "postgresql://u@h/d", "has no password"),
        ("RABBITMQ_URL", "amqp://h/", "has no password"),
    ],
)
def test_production_refuses_what_development_forgives(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, why: str
) -> None:
    line = refusal(monkeypatch, **{**PRODUCTION, variable: value})
    assert line.startswith(f"{variable} {why}")


def test_settings_can_be_shown_without_a_password() -> None:
    shown = repr(load(ToySettings))
    assert "orders:***@127.0.0.1:5432/orders" in shown
    assert "dev-only" not in shown
    assert RedisUrl("redis://:hidden@h:6379/0").shown == "redis://:***@h:6379/0"
    assert PostgresUrl("postgresql://u@h/d?password=hidden").shown == "postgresql://u@h/d"


def test_an_address_knows_its_forms() -> None:
    url = PostgresUrl("postgresql://u:a%2Fb@h:1/d?sslmode=disable")
    assert url.password == "a/b"
    assert url.place == "h:1/d"
    assert url.sqlalchemy == "postgresql+psycopg://u:a%2Fb@h:1/d?sslmode=disable"
