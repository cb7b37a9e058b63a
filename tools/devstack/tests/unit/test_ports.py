import errno
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_mock import MockerFixture

from devstack.host import ports
from devstack.host.errors import Trouble
from devstack.host.ports import Ports


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_preferred_port_that_is_taken_is_stepped_aside(tmp_path: Path, taken: int) -> None:
    with Ports(tmp_path) as claims:
        chosen = claims.choose({"postgres": taken})["postgres"]
    assert chosen != taken
    assert ports.LOWEST <= chosen < ports.HIGHEST


def test_the_next_start_uses_the_same_ports(tmp_path: Path) -> None:
    with Ports(tmp_path) as claims:
        first = claims.choose({"postgres": None, "amqp": None})
    with Ports(tmp_path) as claims:
        assert claims.choose({"amqp": None, "postgres": 5432}) == first


def test_two_starts_at_once_never_choose_the_same_port(tmp_path: Path) -> None:
    with Ports(tmp_path) as one, Ports(tmp_path) as other:
        first = one.choose({"postgres": None})["postgres"]
        assert other.choose({"postgres": first})["postgres"] != first


def test_one_system_never_uses_a_port_twice(tmp_path: Path) -> None:
    with Ports(tmp_path) as claims:
        chosen = claims.choose(dict.fromkeys(["a", "b", "c", "d"]))
    assert len(set(chosen.values())) == 4


def test_a_port_that_must_not_step_aside_names_holder_and_variable(
    tmp_path: Path, taken: int
) -> None:
    with Ports(tmp_path) as claims, pytest.raises(Trouble) as caught:
        claims.insist("orders-api", "ORDERS_PORT", taken)
    assert f"port {taken} (ORDERS_PORT) is taken by pid {os.getpid()} (" in str(caught.value)
    assert f"ORDERS_PORT={taken + 100} make start" in str(caught.value)


def test_a_port_that_this_user_may_not_have_is_not_called_taken(
    tmp_path: Path, mocker: MockerFixture
) -> None:
    mocker.patch("socket.socket.bind", side_effect=PermissionError(errno.EACCES, "not for you"))
    with Ports(tmp_path) as claims, pytest.raises(Trouble) as caught:
        claims.insist("orders-api", "ORDERS_PORT", 80)
    assert "port 80 (ORDERS_PORT) cannot be had: not for you" in str(caught.value)


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1"])
def test_a_host_that_is_not_this_machine_is_named_by_its_variable(
    tmp_path: Path, host: str
) -> None:
    with Ports(tmp_path) as claims, pytest.raises(Trouble) as caught:
        claims.insist("orders-api", "ORDERS_PORT", 8000, host)
    assert f"HTTP_HOST={host} is no address of this machine" in str(caught.value)


def test_a_checkout_looks_for_ports_where_its_path_says(tmp_path: Path) -> None:
    first = [next(iter(ports.candidates(tmp_path / str(n)))) for n in range(20)]
    assert len(set(first)) > 10
    assert next(iter(ports.candidates(tmp_path / "0"))) == first[0]


def test_a_broken_ports_file_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "ports.json").write_text("{")
    with Ports(tmp_path) as claims:
        assert claims.choose({"postgres": None})
