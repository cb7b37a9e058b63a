"""What a machine must have before processes can run on it: RabbitMQ, a Python that makes venvs."""

from devstack import packages, processes, rabbitmq, redis
from devstack.console import say
from devstack.errors import Trouble
from devstack.infrastructure import Wanted
from devstack.layout import Layout
from devstack.venv import Venv


def demand(layout: Layout, wanted: Wanted) -> None:
    """Where nothing may be installed, say at once all that is missing."""
    processes.demand_proc()
    lacks = {
        "python3-venv": not Venv(layout, say).can_be_made(),
        "rabbitmq-server": wanted.rabbitmq and not rabbitmq.find_server(),
    }
    missing = [name for name, is_missing in lacks.items() if is_missing]
    if missing and not packages.allowed():
        raise Trouble(f"{' and '.join(missing)} missing: {packages.advice(*missing)}")


def install(layout: Layout, wanted: Wanted) -> None:
    """RabbitMQ must be had; Redis once is tried for, and may be missing."""
    demand(layout, wanted)
    if packages.allowed():
        packages.lift_leftover()
    tried = layout.home / "redis-tried"
    needed = ["rabbitmq-server"] if wanted.rabbitmq and not rabbitmq.find_server() else []
    lacks_redis = wanted.redis and not redis.find_server()
    if lacks_redis and packages.allowed() and not tried.exists():
        tried.touch()
        _try_redis(layout, needed)
    elif needed:
        packages.install(layout, needed, say)
    if lacks_redis and not redis.find_server():
        say(
            "WITHOUT REDIS: nothing is cached, all else works; "
            f"to have it: {packages.advice('redis-server')}"
        )


def _try_redis(layout: Layout, needed: list[str]) -> None:
    try:
        packages.install(layout, [*needed, "redis-server"], say)
    except Trouble:
        if needed:
            packages.install(layout, needed, say)
