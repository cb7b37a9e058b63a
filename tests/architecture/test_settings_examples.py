"""Every setting is explained where one looks for it, and refused with an example that works."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

import service_orders.settings
import service_processor.settings
import service_stubs.settings
from servicekit.process import settings as kit
from servicekit.process.startup_errors import BadSettings
from servicekit.process.urls import AmqpUrl, ConnectionUrl, PostgresUrl, RedisUrl

SERVICES: tuple[type[kit.ProcessSettings], ...] = (
    service_orders.settings.Settings,
    service_processor.settings.Settings,
    service_stubs.settings.Settings,
)
ROOT = Path(__file__).parents[2]
WRONG = "\u2400"
"""No variable means anything by it."""


def variables(service: type[kit.ProcessSettings]) -> dict[str, str]:
    """By variable, a value with which the service starts: nothing but what it must be told."""
    required = [name for name, field in service.model_fields.items() if field.is_required()]
    return {_variable(service, name): _url_of(service, name) for name in required}


def _variable(service: type[kit.ProcessSettings], name: str) -> str:
    return str(service.model_fields[name].validation_alias or name.upper())


def _url_of(service: type[kit.ProcessSettings], name: str) -> str:
    kind = service.model_fields[name].annotation
    return str(getattr(kind, "example"))  # noqa: B009 mypy does not know which kind


CASES = [
    pytest.param(service, _variable(service, name), id=f"{service.__module__}-{name}")
    for service in SERVICES
    for name, field in service.model_fields.items()
    if field.annotation is not str or field.metadata
]


@pytest.mark.parametrize(("service", "variable"), CASES)
def test_the_example_of_a_refusal_works(
    monkeypatch: pytest.MonkeyPatch, service: type[kit.ProcessSettings], variable: str
) -> None:
    for name, value in variables(service).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv(variable, f"{WRONG} ")
    with pytest.raises(BadSettings) as refused:
        kit.load(service)
    example = str(refused.value).partition("(example: ")[2].removesuffix(")")
    assert example.startswith(f"{variable}=")
    for assignment in shlex.split(example):
        name, _, value = assignment.partition("=")
        monkeypatch.setenv(name, value)
    kit.load(service)


@pytest.mark.parametrize("service", SERVICES, ids=lambda one: one.__module__)
def test_every_setting_has_a_prefix_that_its_service_owns(
    service: type[kit.ProcessSettings],
) -> None:
    """A misspelt variable stops the start only if its prefix is owned."""
    prefixes = (*service.owned_prefixes, *service.shared_prefixes)
    for name in service.model_fields.keys() & service.__annotations__.keys():
        variable = _variable(service, name)
        assert variable.startswith(prefixes), (
            f"{variable} begins with no prefix of {service.__module__}: add one to owned_prefixes"
        )


def test_each_port_of_the_system_has_an_example_of_its_own() -> None:
    fields = {name: field for one in SERVICES for name, field in one.model_fields.items()}
    ports = [field.default for name, field in fields.items() if name.endswith("_port")]
    assert len(ports) == len(set(ports)) == 5


@pytest.mark.parametrize("page", ["README.md", ".env.example"])
def test_every_variable_is_explained(page: str) -> None:
    text = (ROOT / page).read_text()
    known = {_variable(one, name) for one in SERVICES for name in one.model_fields}
    assert {variable for variable in known if variable not in text} == set()


@pytest.mark.parametrize("kind", [PostgresUrl, AmqpUrl, RedisUrl])
def test_the_page_lists_what_may_stand_in_a_query(kind: type[ConnectionUrl]) -> None:
    listed = [
        set(line.split("|")[2].replace("`", "").replace(" ", "").split(","))
        for line in (ROOT / "docs/running.md").read_text().splitlines()
        if line.startswith("|") and line.count("|") == 3
    ]
    assert set(kind.parameters) in listed
