"""What `make start` tells the console, and when it starts none."""

from __future__ import annotations

from pathlib import Path

import pytest

from devstack.host.layout import Layout
from devstack.native import addresses, operator_console, summary
from devstack.native.operator_console import OwnBroker
from devstack.native.services import SERVICES
from devstack.native.supervisor_config import Program

ENVIRONMENTS = {
    service.name: {
        service.database_variable: f"postgresql://{service.name}:pw@127.0.0.1/{service.name}",
        service.owner_variable: "postgresql://owner:owners-password@127.0.0.1/x",
        "RABBITMQ_URL": f"amqp://{service.name}:pw@127.0.0.1/",
    }
    for service in SERVICES
}


def program(tmp_path: Path, **env: str) -> Program:
    layout = Layout(tmp_path, tmp_path / "home")
    broker = OwnBroker("amqp://console:of-console@h/", "http://console:of-console@h:15672")
    return operator_console.program(layout, env, 8102, ENVIRONMENTS, broker)


def test_it_is_told_both_services_and_no_owner(tmp_path: Path) -> None:
    told = program(tmp_path).env
    assert told["CONSOLE_SERVICES"].split() == [
        f"{name}=postgresql://{name}:pw@127.0.0.1/{name}" for name in ("orders", "processor")
    ]
    assert told["CONSOLE_MANAGEMENT"].startswith("orders=http://console:of-console@h:15672 ")
    assert told["CONSOLE_BROKERS"].endswith(" processor=amqp://console:of-console@h/")
    assert told["CONSOLE_PORT"] == "8102"
    assert "owner" not in str(told)


def test_no_password_is_in_its_command(tmp_path: Path) -> None:
    assert "pw" not in " ".join(program(tmp_path).argv)


def test_what_the_user_sets_is_passed_on_and_nothing_else(tmp_path: Path) -> None:
    told = program(tmp_path, CONSOLE_USERS_FILE="/x/users", OFFER_SIGNING_KEY="secret").env
    assert told["CONSOLE_USERS_FILE"] == "/x/users"
    assert "OFFER_SIGNING_KEY" not in told


def test_production_without_a_login_has_no_console() -> None:
    production = {"APP_ENV": "production"}
    assert operator_console.is_wanted({})
    assert not operator_console.is_wanted(production)
    assert operator_console.is_wanted({**production, "CONSOLE_USERS_FILE": "/x/users"})
    assert operator_console.in_containers(production) == {"CONSOLE_REPLICAS": "0"}
    assert operator_console.in_containers({}) == {}


@pytest.mark.parametrize(
    ("env", "says"),
    [
        ({}, "operator / operator-dev-only"),
        ({"CONSOLE_USERS_FILE": "/x/users"}, "as CONSOLE_USERS_FILE says"),
    ],
)
def test_the_end_of_the_start_says_how_to_log_in(env: dict[str, str], says: str) -> None:
    urls = {"orders": "http://o", "processor": "http://p", "console": "http://c"}
    login = operator_console.login(env)
    lines = summary.lines(urls, {}, {}, "native", console_login=login)
    assert f"  console            http://c   login {says}" in lines


def test_its_url_is_that_of_its_process() -> None:
    assert addresses.by_program({"console": "http://c"}) == {"console": "http://c"}
    assert operator_console.url(8002, {"CONSOLE_HOST": "0.0.0.0"}) == "http://127.0.0.1:8002"
