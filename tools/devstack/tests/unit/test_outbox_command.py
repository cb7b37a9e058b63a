"""`make outbox` in containers; as processes it is tested with the whole system."""

from __future__ import annotations

import os

import pytest

from devstack.commands import outbox_command
from devstack.docker.stack import Docker
from devstack.host.errors import Trouble
from devstack.host.layout import Layout
from devstack.native.services import ORDERS, PROCESSOR
from kit.servers.fake_docker import FakeDocker

OWN, OTHER = "postgresql://o:secret@postgres/orders", "postgresql://p:secret@postgres/processor"
BROKER = "amqp://o:secret@rabbitmq/"


def secret_of(service: str, variable: str) -> str:
    """How a container is asked for a secret: a value, or a file that holds it."""
    return f'{service}-api sh -c echo "${{{variable}:-$(cat "${variable}_FILE")}}"'


@pytest.fixture
def docker(checkout: Layout, fake_docker: FakeDocker) -> Docker:
    fake_docker.answer(
        {
            secret_of("orders", "DATABASE_URL_ORDERS"): OWN,
            secret_of("processor", "DATABASE_URL_PROCESSOR"): OTHER,
            secret_of("orders", "RABBITMQ_URL"): BROKER,
            secret_of("processor", "RABBITMQ_URL"): BROKER,
        }
    )
    return Docker(checkout, dict(os.environ))


def test_the_container_is_told_where_both_databases_are(
    docker: Docker, fake_docker: FakeDocker
) -> None:
    assert outbox_command.run(docker, PROCESSOR, "parked list --consumer 'a b'") == 0
    call = fake_docker.last("exec")
    assert call.words[-5:] == ["outbox", "parked", "list", "--consumer", "a b"]
    assert (call.env["DATABASE_URL"], call.env["CONSUMER_DATABASE_URL"]) == (OTHER, OWN)
    assert call.env["RABBITMQ_URL"] == BROKER
    assert call.env["OUTBOX_APP"] == "service_processor.bootstrap:application"
    assert call.env["RABBITMQ_MANAGEMENT_URL"] == "http://admin:admin-dev-only@rabbitmq:15672"


def test_no_password_is_in_a_command_line(docker: Docker, fake_docker: FakeDocker) -> None:
    outbox_command.run(docker, ORDERS, "status")
    assert not any("secret" in word for call in fake_docker.calls for word in call.words)
    assert "CONSUMER_DATABASE_URL" in fake_docker.last("exec").words


def test_its_exit_status_is_that_of_the_command(docker: Docker, fake_docker: FakeDocker) -> None:
    fake_docker.fail("discard")
    assert outbox_command.run(docker, ORDERS, "discard") == 1


def test_containers_that_do_not_run_are_told_of(checkout: Layout, fake_docker: FakeDocker) -> None:
    with pytest.raises(Trouble, match="orders-api does not run"):
        outbox_command.run(Docker(checkout, dict(os.environ)), ORDERS, "status")


def test_arguments_that_do_not_end_are_refused(docker: Docker) -> None:
    with pytest.raises(Trouble, match="No closing quotation") as caught:
        outbox_command.run(docker, ORDERS, "parked show 'a")
    assert caught.value.status == 2
