"""`make servers` starts a PostgreSQL and a RabbitMQ for the tests, and leaves them running.

They live in `.local/servers`. Their addresses stand there in `exports`, where pytest finds them; a
shell can source the file. `make test` does not use them.
"""

import shlex
from collections.abc import Mapping

from devstack.host.console import say
from devstack.host.layout import Layout, put_private
from devstack.host.venv import Venv
from devstack.native import prerequisites, rabbitmq
from devstack.native.infrastructure import Wanted
from devstack.native.system import System

WANTED = Wanted(postgres=True, rabbitmq=True, redis=False)
VARIABLES = "TEST_POSTGRES_URL", "TEST_RABBITMQ_URL", "TEST_RABBITMQ_MANAGEMENT_URL"


def variables_of(system: System) -> dict[str, str]:
    """The variables that the tests read: superuser, administrator, and the management API."""
    login = f"{rabbitmq.ADMIN}:{rabbitmq.ADMIN_PASSWORD}@"
    management = system.urls["management"].replace("http://", f"http://{login}")
    urls = system.admin_database_url, system.admin_rabbitmq_url, management
    return dict(zip(VARIABLES, urls, strict=True))


def start(layout: Layout) -> None:
    """Return when both servers are ready; it does no harm when they run already."""
    layout.prepare()
    Venv(layout, say).ensure()
    if not running(layout):
        prerequisites.install(layout, WANTED)
        system = _system(layout)
        system.stop()
        system.start()
        lines = [
            f"export {name}={shlex.quote(url)}\n" for name, url in variables_of(system).items()
        ]
        put_private(system.layout.home / "exports", "".join(lines))
    say("PostgreSQL and RabbitMQ for the tests are running: venv/bin/pytest finds them")


def stop(layout: Layout) -> None:
    """End both servers and remove their data."""
    _system(layout).destroy()


def running(layout: Layout) -> Mapping[str, str]:
    """The variables of the servers that `start` left running; empty if none runs."""
    system = _system(layout)
    saved = system.layout.home / "exports"
    if not (saved.exists() and system.supervisor.answers()):
        return {}
    words = [word for word in shlex.split(saved.read_text()) if word != "export"]
    return dict(word.split("=", 1) for word in words)


def _system(layout: Layout) -> System:
    home = Layout(layout.checkout, layout.home / "servers")
    return System(home, with_services=False, durable=False, tied=False, wanted=WANTED)
