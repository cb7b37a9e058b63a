"""What a machine must have before processes can run on it: servers, a Python that makes venvs."""

from devstack.host import apt, processes
from devstack.host.console import say
from devstack.host.errors import Trouble
from devstack.host.layout import Layout
from devstack.host.venv import Venv
from devstack.native import prometheus, rabbitmq, redis
from devstack.native.infrastructure import Wanted


def demand(layout: Layout, wanted: Wanted) -> None:
    """Where nothing may be installed, name everything that is missing at once."""
    processes.demand_proc()
    missing = _missing_servers(wanted)
    if not Venv(layout, say).can_be_made():
        missing.insert(0, "python3-venv")
    if missing and not apt.allowed():
        raise Trouble(f"{' and '.join(missing)} missing: {apt.advice(*missing)}")


def _missing_servers(wanted: Wanted) -> list[str]:
    """The packages of servers that have to run, and are not there."""
    lacks = {
        "rabbitmq-server": wanted.rabbitmq and not rabbitmq.find_server(),
        prometheus.NAME: wanted.prometheus and not prometheus.find_server(),
    }
    return [name for name, is_missing in lacks.items() if is_missing]


def install(layout: Layout, wanted: Wanted) -> None:
    """What is wanted is required, but for Redis; its installation is tried once."""
    demand(layout, wanted)
    if apt.allowed():
        apt.lift_leftover()
    tried = layout.home / "redis-tried"
    needed = _missing_servers(wanted)
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


def install_for_tests(layout: Layout, package: str, tests: str) -> None:
    """Install what only these tests need; if that fails, say that they fail too."""
    if lack := apt.lack_after_trying(layout, [package], say):
        say(f"WITHOUT {package}: {tests} fail, all other tests run; {lack}")


def _try_redis(layout: Layout, needed: list[str]) -> None:
    try:
        apt.install(layout, [*needed, "redis-server"], say)
    except Trouble:
        if needed:
            apt.install(layout, needed, say)
