"""Which keys sign offers, and where there is none."""

from __future__ import annotations

import pytest

from service_orders.settings import DEVELOPMENT_KEY, Settings
from servicekit.process.settings import load
from servicekit.process.startup_errors import BadSettings

ONE, OTHER = "one key that is long enough to sign", "another key that is long enough to sign"
PASSWORDS = {
    "DATABASE_URL_ORDERS": "postgresql://orders:a-long-password-of-ours@127.0.0.1/orders",
    "RABBITMQ_URL": "amqp://orders:another-password-of-ours@127.0.0.1/%2F",
}


def settings(monkeypatch: pytest.MonkeyPatch, **variables: str) -> Settings:
    for name, value in {**PASSWORDS, **variables}.items():
        monkeypatch.setenv(name, value)
    return load(Settings)


def test_development_signs_with_a_key_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings(monkeypatch).signing_keys == (DEVELOPMENT_KEY,)
    assert DEVELOPMENT_KEY.endswith("-dev-only")


def test_outside_development_there_is_no_default(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings(monkeypatch, APP_ENV="test").signing_keys == ()
    with pytest.raises(BadSettings, match="OFFER_SIGNING_KEY is not set: APP_ENV=production"):
        settings(monkeypatch, APP_ENV="production")


@pytest.mark.parametrize("variable", ["OFFER_SIGNING_KEY", "OFFER_SIGNING_KEYS"])
@pytest.mark.parametrize("key", ["short", "x" * 31, "y,", f"{'z' * 29},"])
def test_a_short_key_is_refused_without_being_shown(
    monkeypatch: pytest.MonkeyPatch, variable: str, key: str
) -> None:
    with pytest.raises(BadSettings, match=f"{variable} has to have at least 32 bytes") as refused:
        settings(monkeypatch, **{variable: key})
    assert key not in str(refused.value)


def test_production_refuses_the_development_key(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadSettings, match="OFFER_SIGNING_KEY ends in -dev-only"):
        settings(monkeypatch, APP_ENV="production", OFFER_SIGNING_KEY=DEVELOPMENT_KEY)


def test_several_keys_go_before_the_one_and_the_first_signs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = settings(
        monkeypatch,
        APP_ENV="production",
        OFFER_SIGNING_KEY="a third key, which may have a comma in it",
        OFFER_SIGNING_KEYS=f"{ONE}, {OTHER}",
    )
    assert found.signing_keys == (ONE, OTHER)
    assert ONE not in repr(found)


def test_each_of_several_keys_is_long_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadSettings, match="for each key"):
        settings(monkeypatch, OFFER_SIGNING_KEYS=f"{ONE},short")
