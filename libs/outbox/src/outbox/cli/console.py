"""`outbox console`: pages that show one or several services, and mend them."""

from __future__ import annotations

import logging
import os
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from outbox.cli.options import Json
from outbox.cli.output import say
from outbox.cli.running import application_of, fail
from outbox.errors import InvalidSetting

if TYPE_CHECKING:
    from outbox.console import Access, ConsoleService

NEEDS_EXTRA = "the console needs more packages: pip install 'outbox-rabbitmq[cli,console]'"
logger = logging.getLogger(__name__)

Services = Annotated[
    list[str] | None,
    typer.Option(
        "--service",
        envvar="CONSOLE_SERVICES",
        metavar="NAME=URL",
        help="A service's name and database; repeatable.",
        show_default=False,
    ),
]
Brokers = Annotated[
    list[str] | None,
    typer.Option(
        "--broker",
        envvar="CONSOLE_BROKERS",
        metavar="NAME=URL",
        help="A service's broker; repeatable.",
        show_default=False,
    ),
]
ManagementUrls = Annotated[
    list[str] | None,
    typer.Option(
        "--management",
        envvar="CONSOLE_MANAGEMENT",
        metavar="NAME=URL",
        help="The management API of a service's broker; repeatable.",
        show_default=False,
    ),
]
Applications = Annotated[
    list[str] | None,
    typer.Option(
        "--app",
        envvar="CONSOLE_APPS",
        metavar="NAME=MODULE:NAME",
        help="A service's outbox.Application or Topology; repeatable.",
        show_default=False,
    ),
]
Host = Annotated[str, typer.Option("--host", envvar="CONSOLE_HOST", help="Where it listens.")]
Port = Annotated[int, typer.Option("--port", envvar="CONSOLE_PORT", min=1, max=65535)]
AllowedHosts = Annotated[
    str | None,
    typer.Option(
        "--allowed-hosts",
        envvar="CONSOLE_ALLOWED_HOSTS",
        metavar="NAMES",
        help="Names in the Host header, separated by commas; else those of loopback and --host.",
    ),
]
UsersFile = Annotated[
    Path | None,
    typer.Option(
        "--users-file", envvar="CONSOLE_USERS_FILE", help="Lines name:viewer|operator:hash."
    ),
]
TrustedProxies = Annotated[
    str | None,
    typer.Option(
        "--trusted-proxies",
        envvar="CONSOLE_TRUSTED_PROXIES",
        metavar="NETWORKS",
        help="Addresses of proxies whose headers are believed, separated by commas.",
    ),
]
UserHeader = Annotated[
    str | None,
    typer.Option(
        "--proxy-user-header",
        envvar="CONSOLE_PROXY_USER_HEADER",
        help="The header in which a trusted proxy names who is logged in.",
    ),
]
RoleHeader = Annotated[
    str | None,
    typer.Option(
        "--proxy-role-header",
        envvar="CONSOLE_PROXY_ROLE_HEADER",
        help="The header with their role; without it everybody is a viewer.",
    ),
]
Environment = Annotated[
    str, typer.Option("--environment", envvar="APP_ENV", help="production refuses known passwords.")
]
PublishedOnLoopback = Annotated[
    bool,
    typer.Option(
        "--published-on-loopback",
        help="Other machines do not reach it, though --host says so: a container.",
    ),
]
HashPassword = Annotated[
    bool, typer.Option("--hash-password", help="Ask for a password and print its hash, only.")
]


def console(
    *,
    service: Services = None,
    broker: Brokers = None,
    management: ManagementUrls = None,
    app: Applications = None,
    host: Host = "127.0.0.1",
    port: Port = 8002,
    allowed_hosts: AllowedHosts = None,
    users_file: UsersFile = None,
    trusted_proxies: TrustedProxies = None,
    proxy_user_header: UserHeader = None,
    proxy_role_header: RoleHeader = None,
    environment: Environment = "development",
    published_on_loopback: PublishedOnLoopback = False,
    hash_password: HashPassword = False,
    as_json: Json = False,
) -> None:
    """Serve the console until it is stopped; --json logs one JSON object a line."""
    _demand_extra()
    from outbox.console import Proxy, build_console, serving, settings

    if hash_password:
        return _print_hash()
    at = "127.0.0.1" if published_on_loopback else host
    try:
        settings.refuse_unknown(os.environ)
        proxy = Proxy.of(trusted_proxies, proxy_user_header, proxy_role_header)
        production = settings.is_production(environment)
        access = settings.access_of(users_file, proxy, at, allowed_hosts, is_production=production)
        services = _services(service, broker, management, app, is_production=production)
        built = build_console(services, access)
    except InvalidSetting as problem:
        fail(str(problem))
    serving.log_to_stdout(as_json=as_json)
    _announce(services, access, host, port)
    serving.serve(built, host, port)


def _demand_extra() -> None:
    try:
        import_module("outbox.console")
    except ModuleNotFoundError as missing:
        if (missing.name or "").startswith("outbox"):
            raise
        fail(NEEDS_EXTRA)


def _services(
    databases: list[str] | None,
    brokers: list[str] | None,
    management: list[str] | None,
    apps: list[str] | None,
    *,
    is_production: bool,
) -> list[ConsoleService]:
    from outbox.console import settings

    texts = zip(settings.FILES, (databases, brokers, management), strict=True)
    urls = [settings.with_files(given or (), name, os.environ) for name, given in texts]
    given = settings.Given(urls[0], urls[1], urls[2], apps or ())
    services = given.known(application_of)
    if is_production:
        settings.refuse_weak_passwords(services)
    return services


def _announce(services: list[ConsoleService], access: Access, host: str, port: int) -> None:
    names = ", ".join(service.name for service in services)
    logger.info("the console of %s listens on http://%s:%d", names, host, port)
    if access.users and access.users.for_development:
        logger.warning("everybody knows its logins of development; give it a users file")


def _print_hash() -> None:
    from outbox.console.access.users import hashed

    say(hashed(typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)))
