import base64
import hashlib
import json
import re
from pathlib import Path

import pytest

from devstack.host.layout import Layout
from devstack.native import rabbitmq
from devstack.native.rabbitmq import RabbitMQ

PORTS = {name: number for number, name in enumerate(rabbitmq.PREFERRED, start=20000)}


def _node(tmp_path: Path) -> RabbitMQ:
    layout = Layout(tmp_path, tmp_path / 'a "quoted" home')
    layout.prepare()
    return RabbitMQ(layout, Path("/x/rabbitmq-server"), PORTS)


def test_a_password_hash_is_salt_and_sha256_over_both() -> None:
    raw = base64.b64decode(rabbitmq.hashed("secret", b"salt"))
    assert raw == b"salt" + hashlib.sha256(b"saltsecret").digest()


def test_there_is_no_guest_and_one_administrator() -> None:
    users = json.loads(json.dumps(rabbitmq.definitions()))["users"]
    assert {user["name"]: user["tags"] for user in users} == {
        "admin": ["administrator", "impersonator"],
        "orders": [],
        "processor": [],
        "console": ["monitoring", "impersonator"],
    }


@pytest.mark.parametrize(
    ("user", "exchange", "may_write"),
    [
        ("orders", "orders", True),
        ("orders", "processor", False),
        ("orders", "processor.orders", True),  # binding a queue writes to it
        ("processor", "processor", True),
        ("processor", "orders", False),
        ("processor", "dead", True),
        ("processor", "beacons", True),
        ("processor", "amq.topic", False),
    ],
)
def test_a_service_writes_only_where_it_publishes_or_binds(
    user: str, exchange: str, may_write: bool
) -> None:
    rights = json.loads(json.dumps(rabbitmq.definitions()))["permissions"]
    write = next(right["write"] for right in rights if right["user"] == user)
    assert bool(re.search(write, exchange)) is may_write


def test_the_consoles_user_moves_dead_letters_and_nothing_else() -> None:
    rights = json.loads(json.dumps(rabbitmq.definitions()))["permissions"]
    [own] = [right for right in rights if right["user"] == rabbitmq.MONITOR]
    assert own["configure"] == "^$"
    assert re.search(own["write"], "amq.default")
    assert re.search(own["read"], "orders.orders.dead")
    for name in ("orders", "processor", "orders.orders", "dead", "audit"):
        assert not re.search(own["write"], name)
        assert not re.search(own["read"], name)


def test_everything_listens_on_the_loopback_only(tmp_path: Path) -> None:
    settings = _node(tmp_path).settings()
    assert settings.count("127.0.0.1") == 4
    epmd, server = _node(tmp_path).programs()
    assert epmd.argv[-2:] == ["-address", "127.0.0.1"]
    assert (
        "inet_dist_use_interface {127,0,0,1}" in server.env["RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS"]
    )


def test_the_path_of_the_definitions_survives_any_character(tmp_path: Path) -> None:
    node = _node(tmp_path)
    node.prepare()
    written = (tmp_path / 'a "quoted" home/rabbitmq/advanced.config').read_text()
    assert r"a \"quoted\" home/rabbitmq/definitions.json" in written


def test_two_folders_are_two_nodes(tmp_path: Path) -> None:
    server = Path("/x/rabbitmq-server")
    nodes = {RabbitMQ(Layout(tmp_path, tmp_path / n), server, PORTS).node for n in ("a", "b")}
    assert len(nodes) == 2
