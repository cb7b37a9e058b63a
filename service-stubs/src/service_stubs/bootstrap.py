"""The only place that constructs things. Importing it connects to nothing."""

from __future__ import annotations

from pathlib import Path

from service_stubs import NAME, VERSION, api, control
from service_stubs.dependencies import Dependencies
from service_stubs.ledger import Ledger
from service_stubs.settings import Settings
from service_stubs.trouble import Troubles
from servicekit.http.access_rules import AccessRules
from servicekit.http.app import ServiceApp, create_app
from servicekit.observe import logs
from servicekit.observe.health import Health
from servicekit.observe.metrics import HttpMetrics
from servicekit.process.entrypoint import stop_on_signals
from servicekit.process.server import bind, serve
from servicekit.process.settings import AppEnv, load
from servicekit.process.startup_errors import StartupProblem


async def run() -> None:
    """Answer requests until told to stop; refused in production."""
    settings = load(Settings)
    if settings.app_env is AppEnv.PRODUCTION:
        raise StartupProblem(
            "stand-ins for external systems are not for APP_ENV=production;"
            " set EXTERNAL_BASE_URL to the real ones"
        )
    logs.configure(NAME, settings.log_level, settings.log_format)
    stop = stop_on_signals()
    listener = bind(settings.http_host, settings.stubs_port, variable="STUBS_PORT")
    ledger = Ledger(Path(settings.stubs_ledger))
    try:
        await serve(
            build_app(ledger, access=settings.access), listener, stop=stop, variable="STUBS_PORT"
        )
    finally:
        ledger.close()
        listener.close()


def build_app(
    ledger: Ledger | None = None,
    metrics: HttpMetrics | None = None,
    access: AccessRules | None = None,
) -> ServiceApp:
    """The HTTP application; without a ledger it uses one in memory."""
    app = create_app(
        title=NAME,
        version=VERSION,
        description="Stands in for scooters, tariffs, users, configs and the payment provider.",
        health=Health({}),
        metrics=metrics,
        access=access,
    )
    app.include_router(api.router)
    app.include_router(control.router)
    app.state.dependencies = Dependencies(ledger or Ledger(":memory:"), Troubles())
    return app
