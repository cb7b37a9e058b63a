"""What production refuses, each in one line that names the variable and hides the secret."""

from __future__ import annotations

from typing import ClassVar

import pytest
from pydantic import Field, SecretStr

from servicekit.process.settings import ServiceSettings, load
from servicekit.process.startup_errors import BadSettings
from servicekit.process.urls import AmqpUrl, PostgresUrl, RedisUrl, is_loopback


class ToySettings(ServiceSettings):
    owned_prefixes: ClassVar[tuple[str, ...]] = ("TOYS_",)

    database_url: PostgresUrl = Field(
        PostgresUrl("postgresql://u:d-dev-only@h/d"), validation_alias="DATABASE_URL_TOYS"
    )
    rabbitmq_url: AmqpUrl = AmqpUrl("amqp://u:b-dev-only@h/")
    redis_url: RedisUrl | None = None
    toys_key: SecretStr = SecretStr("key-dev-only")


PRODUCTION = {
    "APP_ENV": "production",
    "DATABASE_URL_TOYS": "postgresql://u:one-of-its-own@h/d",
    "RABBITMQ_URL": "amqp://u:another-of-its-own@h/",
    "TOYS_KEY": "a-key-of-its-own",
}


@pytest.fixture(autouse=True)
def _production(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_HOST", "AUTH", "REDIS_URL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in PRODUCTION.items():
        monkeypatch.setenv(name, value)


def refusal(monkeypatch: pytest.MonkeyPatch, **variables: str) -> str:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(BadSettings) as raised:
        load(ToySettings)
    line = str(raised.value)
    assert "\n" not in line
    return line


@pytest.mark.parametrize("redis", ["redis://127.0.0.1/0", "redis://:fourth-of-its-own@h/0"])
def test_production_accepts_passwords_of_its_own(
    monkeypatch: pytest.MonkeyPatch, redis: str
) -> None:
    monkeypatch.setenv("REDIS_URL", redis)
    assert load(ToySettings).app_env == "production"


@pytest.mark.parametrize("variable", ["DATABASE_URL_TOYS", "RABBITMQ_URL", "TOYS_KEY"])
def test_production_has_no_default_for_a_secret(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    line = refusal(monkeypatch, **{variable: ""})
    assert line == f"{variable} is not set: APP_ENV=production has no default for it"


@pytest.mark.parametrize(
    ("variable", "value", "why"),
    [
        ("DATABASE_URL_TOYS", "postgresql://u:orders-dev-only@h/d", "ends in -dev-only"),
        ("DATABASE_URL_TOYS", "postgresql://u:orders%2ddev-only@h/d", "ends in -dev-only"),
        ("RABBITMQ_URL", "amqp://u:%6frders-dev-onl%79@h/", "ends in -dev-only"),
        ("DATABASE_URL_TOYS", "postgresql://u@h/d", "is missing"),
        ("RABBITMQ_URL", "amqp://h/", "is missing"),
        ("REDIS_URL", "redis://h/0", "is missing"),
        ("RABBITMQ_URL", "amqp://guest:guest@h/", "is the user's name"),
        ("DATABASE_URL_TOYS", "postgresql://long-user-name:Long-User-Name@h/d", "is the user's"),
        ("DATABASE_URL_TOYS", "postgresql://u:a@h/d", "is shorter than 12"),
        ("REDIS_URL", "redis://:short@127.0.0.1/0", "is shorter than 12"),
    ],
)
def test_production_refuses_a_weak_password(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, why: str
) -> None:
    line = refusal(monkeypatch, **{variable: value})
    assert line.startswith(f"the password in {variable} {why}")


@pytest.mark.parametrize("value", ["key-dev-only", "short"])
def test_production_refuses_a_weak_key(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    assert refusal(monkeypatch, TOYS_KEY=value).startswith("TOYS_KEY ")


def test_production_refuses_one_password_for_two_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    line = refusal(monkeypatch, RABBITMQ_URL="amqp://u:one-of-its-own@h/")
    assert line.startswith("RABBITMQ_URL and DATABASE_URL_TOYS have the same password")
    assert "one-of-its-own" not in line


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "toys.example"])
def test_production_does_not_listen_to_other_machines_without_authentication(
    monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    line = refusal(monkeypatch, HTTP_HOST=host)
    assert line.startswith(f"HTTP_HOST={host} is reached from other machines")
    assert "AUTH=none" in line
    monkeypatch.setenv("AUTH", "none")
    assert load(ToySettings).http_host == host


def test_an_unknown_authentication_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    line = refusal(monkeypatch, HTTP_HOST="0.0.0.0", AUTH="oidc")
    assert line.startswith("AUTH 'oidc': there is no authentication here yet")
    assert line.endswith("(example: AUTH=none)")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.10", "::1", "localhost"])
def test_a_service_on_loopback_needs_no_authentication(
    monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    monkeypatch.setenv("HTTP_HOST", host)
    assert load(ToySettings).http_host == host
    assert is_loopback(host)
