"""What a machine must have before processes can run on it: RabbitMQ, a Python that makes venvs."""

from devstack.host import apt, processes
from devstack.host.console import say
from devstack.host.errors import Trouble
from devstack.host.layout import Layout
from devstack.host.venv import Venv
from devstack.native import rabbitmq, redis
from devstack.native.infrastructure import Wanted


def demand(layout: Layout, wanted: Wanted) -> None:
    """Where nothing may be installed, name everything that is missing at once."""
    processes.demand_proc()
    lacks = {
        "python3-venv": not Venv(layout, say).can_be_made(),
        "rabbitmq-server": wanted.rabbitmq and not rabbitmq.find_server(),
    }
    missing = [name for name, is_missing in lacks.items() if is_missing]
    if missing and not apt.allowed():
        raise Trouble(f"{' and '.join(missing)} missing: {apt.advice(*missing)}")


def install(layout: Layout, wanted: Wanted) -> None:
    """RabbitMQ is required. Redis is optional; its installation is tried once."""
    demand(layout, wanted)
    if apt.allowed():
        apt.lift_leftover()
    tried = layout.home / "redis-tried"
    needed = ["rabbitmq-server"] if wanted.rabbitmq and not rabbitmq.find_server() else []
    lacks_redis = wanted.redis and not redis.find_server()
    if lacks_redis and apt.allowed() and not tried.exists():
        tried.touch()
        _try_redis(layout, needed)
    elif needed:
        apt.install(layout, needed, say)
    if lacks_redis and not redis.find_server():
        say(
            "WITHOUT REDIS: nothing is cached, all else works; "
            f"to have it: {apt.advice('redis-server')}"
        )


def _try_redis(layout: Layout, needed: list[str]) -> None:
    try:
        apt.install(layout, [*needed, "redis-server"], say)
    except Trouble:
        if needed:
            apt.install(layout, needed, say)
