"""Anything wrong with the environment is one line with the variable, without a secret."""

from __future__ import annotations

import os
from pathlib import Path
from typing import ClassVar

import pytest
from pydantic import Field, SecretStr, model_validator

from servicekit.http.access_rules import AccessRules
from servicekit.process.former_names import unread_variables
from servicekit.process.settings import (
    LogFormat,
    Port,
    Probability,
    Seconds,
    ServiceSettings,
    load,
)
from servicekit.process.startup_errors import BadSettings
from servicekit.process.urls import AmqpUrl, PostgresUrl, RedisUrl

DATABASE = "postgresql://orders:orders-dev-only@127.0.0.1:5432/orders"
BROKER = "amqp://orders:orders-dev-only@127.0.0.1:5672/"


class ToySettings(ServiceSettings):
    owned_prefixes: ClassVar[tuple[str, ...]] = ("TOYS_", "PROCESSING_", "DATABASE_URL_")
    foreign_variables: ClassVar[frozenset[str]] = frozenset({"DATABASE_URL_OTHER"})

    database_url: PostgresUrl = Field(PostgresUrl(DATABASE), validation_alias="DATABASE_URL_TOYS")
    rabbitmq_url: AmqpUrl = AmqpUrl(BROKER)
    redis_url: RedisUrl | None = None
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
    for name in ("APP_ENV", "LOG_LEVEL", "LOG_FORMAT", "HTTP_HOST", "AUTH"):
        monkeypatch.delenv(name, raising=False)
    for name in ("RABBITMQ_URL", "REDIS_URL"):
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
        ("HTTP_HOST", " "),
        ("AUTH", "oidc"),
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
        "postgresql://u:hidden@evil:1@h/d",
        "postgresql://u:hidden@h/d?sslmode=disable#&password=hid",
        "postgresql://u:own@h/d?password=hidden",
        "postgresql://u:own@h/d?pass%77ord=hidden",
        "postgresql://u:own@h/d?password",
        "postgresql://u:own@h/d?user=hidden",
        "postgresql://u:own@h/d?host=hidden",
        "postgresql://u:own@h/d?hostaddr=hidden",
        "postgresql://u:own@h/d?port=1&dbname=hidden",
        "postgresql://u:own@h/d?service=hidden",
        "postgresql://u:own@h/d?sslmode=disable&passfile=hidden",
        "postgresql://u:own@h/d?hidden=1",
    ],
)
def test_a_nonsensical_database_url_is_one_line_with_an_example_and_no_secret(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    line = refusal(monkeypatch, DATABASE_URL_TOYS=value)
    assert line.startswith("DATABASE_URL_TOYS ")
    assert "example: DATABASE_URL_TOYS=postgresql://" in line
    assert "hid" not in line


@pytest.mark.parametrize(
    "value",
    [
        "http://h",
        "amqp://",
        "amqp://h/a/b",
        "amqp://h:x/",
        "amqp://h/?password=hidden",
        "amqp://h/?no_verify_ssl=1",
    ],
)
def test_a_nonsensical_broker_url_is_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    line = refusal(monkeypatch, RABBITMQ_URL=value)
    assert line.startswith("RABBITMQ_URL ")
    assert "hidden" not in line


def test_a_nonsensical_cache_url_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    line = refusal(monkeypatch, REDIS_URL="redis://h/0?password=hidden")
    assert line.startswith("REDIS_URL has password behind the ?, which would win")
    assert "hidden" not in line


def test_known_parameters_of_a_url_are_accepted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url = (
        f"{DATABASE}?options=-c%20search_path%3Dx&sslmode=require&target_session_attrs=read-write"
        "&connect_timeout=3&application_name=toys"
    )
    monkeypatch.setenv("DATABASE_URL_TOYS", url)
    assert load(ToySettings).database_url == url


@pytest.mark.parametrize(
    "value",
    ["amqp://u:p@h:5672/", "amqp://u:p@h:5672/%2F", "amqps://h/v", "amqp://h/?heartbeat=5"],
)
def test_usual_broker_urls_are_accepted(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
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


@pytest.mark.parametrize("twin", ["app_env", "App_Env", "toys_port", "database_url_other"])
def test_a_known_name_in_other_letters_is_refused(
    monkeypatch: pytest.MonkeyPatch, twin: str
) -> None:
    monkeypatch.setenv("APP_ENV", "production")
    line = refusal(monkeypatch, **{twin: "development"})
    assert line == f"{twin}: names are read exactly; write {twin.upper()}"


def test_an_empty_variable_is_not_set_whichever_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = load(ToySettings)
    for name in ToySettings.model_fields:
        monkeypatch.setenv(name.upper() if name != "database_url" else "DATABASE_URL_TOYS", "")
    assert load(ToySettings) == usual


def test_a_secret_is_read_from_the_file_that_a_variable_names(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "url").write_text("postgresql://u:of-the-file@h/d\n")
    (tmp_path / "key").write_text("of-the-file\n")
    monkeypatch.setenv("DATABASE_URL_TOYS_FILE", str(tmp_path / "url"))
    monkeypatch.setenv("TOYS_KEY_FILE", str(tmp_path / "key"))
    assert load(ToySettings).database_url.password == "of-the-file"
    assert load(ToySettings).toys_key.get_secret_value() == "of-the-file"
    monkeypatch.setenv("DATABASE_URL_TOYS", DATABASE)
    assert load(ToySettings).database_url == DATABASE


def test_a_file_without_a_secret_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    line = refusal(monkeypatch, RABBITMQ_URL_FILE=str(tmp_path / "none"))
    assert line == f"RABBITMQ_URL_FILE: cannot read {tmp_path}/none: No such file or directory"
    (tmp_path / "none").write_text("\n")
    line = refusal(monkeypatch, RABBITMQ_URL_FILE=str(tmp_path / "none"))
    assert line == f"RABBITMQ_URL_FILE: {tmp_path}/none is empty"
    (tmp_path / "none").write_text("amqp://u:hidden@h:x/")
    line = refusal(monkeypatch, RABBITMQ_URL_FILE=str(tmp_path / "none"))
    assert line.startswith("RABBITMQ_URL is not a URL")
    assert "hidden" not in line


def test_a_conflict_between_settings_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    line = refusal(monkeypatch, PROCESSING_DELAY_MIN="2", PROCESSING_DELAY_MAX="1")
    assert line == "PROCESSING_DELAY_MIN is above PROCESSING_DELAY_MAX"


def test_a_setting_without_a_default_is_asked_for() -> None:
    with pytest.raises(BadSettings, match=r"^RABBITMQ_URL is not set \(example: RABBITMQ_URL=amqp"):
        load(ServiceSettings)


def test_settings_can_be_shown_without_a_password() -> None:
    shown = repr(load(ToySettings))
    assert "orders:***@127.0.0.1:5432/orders" in shown
    assert "dev-only" not in shown
    assert RedisUrl("redis://:hidden@h:6379/0").shown == "redis://:***@h:6379/0"
    assert PostgresUrl("postgresql://u@h/d?options=x").shown == "postgresql://u@h/d"


def test_an_address_knows_its_forms() -> None:
    url = PostgresUrl("postgresql://u:a%2Fb@h:1/d?sslmode=disable")
    assert (url.user, url.password, url.host) == ("u", "a/b", "h")
    assert url.address == "h:1/d"
    assert url.sqlalchemy == "postgresql+psycopg://u:a%2Fb@h:1/d?sslmode=disable"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ALLOWED_HOSTS", "api.example.com:8000"),
        ("ALLOWED_HOSTS", "localhost,,x"),
        ("ALLOWED_HOSTS", "http://localhost"),
        ("ALLOWED_HOSTS", "*.example.com"),
        ("ALLOWED_HOSTS", ".example.com"),
        ("ALLOWED_HOSTS", "example.com."),
        ("ALLOWED_HOSTS", "a..b"),
        ("CORS_ORIGINS", "*"),
        ("CORS_ORIGINS", "app.example.com"),
        ("CORS_ORIGINS", "https://app.example.com/"),
        ("CORS_ORIGINS", "null"),
        ("API_DOCS", "yes"),
    ],
)
def test_hosts_and_origins_are_written_exactly(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    line = refusal(monkeypatch, **{variable: value})
    assert line.startswith(f"{variable} '{value}': ")


def test_the_allowed_hosts_follow_the_address_listened_on(monkeypatch: pytest.MonkeyPatch) -> None:
    loopback = {"localhost", "127.0.0.1", "[::1]"}
    assert load(ToySettings).access == AccessRules(frozenset(loopback), frozenset(), docs=True)
    monkeypatch.setenv("HTTP_HOST", "2001:db8::1")
    assert load(ToySettings).access.allowed_hosts == loopback | {"[2001:db8::1]"}
    monkeypatch.setenv("ALLOWED_HOSTS", "Api.Example.com, [::1]")
    monkeypatch.setenv("CORS_ORIGINS", "https://App.example.com,http://localhost:3000")
    access = load(ToySettings).access
    assert access.allowed_hosts == {"api.example.com", "[::1]"}
    assert access.cors_origins == {"https://app.example.com", "http://localhost:3000"}
    monkeypatch.setenv("ALLOWED_HOSTS", "*")
    assert load(ToySettings).access.allowed_hosts == {"*"}


@pytest.mark.parametrize(("switch", "shown"), [(None, False), ("on", True), ("off", False)])
def test_production_shows_the_document_if_it_is_asked_to(switch: str | None, shown: bool) -> None:
    settings = ToySettings.model_validate({"app_env": "production", "api_docs": switch})
    assert settings.access.docs is shown


def test_a_refusal_names_the_variable_of_another_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RABBIT_HOST", "rabbit")
    monkeypatch.setenv("REDIS_PORT", "tcp://10.0.0.7:6379")
    with pytest.raises(BadSettings, match="RABBIT_HOST is not read here: use RABBITMQ_URL") as line:
        load(ServiceSettings)
    assert "REDIS_PORT" not in str(line.value)


def test_a_name_of_another_system_alone_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DB_HOST", "db")
    assert load(ToySettings)
    assert unread_variables() == [
        "DB_HOST is not read here: use DATABASE_URL_ORDERS and DATABASE_URL_PROCESSOR"
    ]


@pytest.mark.parametrize(("value", "processes"), [("3", 3), ("auto", os.cpu_count())])
def test_api_processes_are_a_number_or_one_per_core(
    monkeypatch: pytest.MonkeyPatch, value: str, processes: int
) -> None:
    assert load(ToySettings).api_processes == 1
    monkeypatch.setenv("API_PROCESSES", value)
    assert load(ToySettings).api_processes == processes


@pytest.mark.parametrize("value", ["0", "-1", "2.0", "many", "AUTO", "257", "1_0"])
def test_another_number_of_api_processes_is_refused(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    line = refusal(monkeypatch, API_PROCESSES=value)
    assert line.startswith(f"API_PROCESSES {value!r}: ")
    assert line.endswith("(example: API_PROCESSES=1)")


def test_a_misspelt_api_processes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "did you mean API_PROCESSES?" in refusal(monkeypatch, API_PROCESS="2")
