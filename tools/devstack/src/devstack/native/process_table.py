"""The columns of `make status`: where a process listens, and what it says of itself."""

from devstack.native import services, stubs
from devstack.native.state import State


def ports_of(name: str, state: State) -> str:
    group = {"rabbitmq": ("amqp", "management", "stream", "rabbitmq-metrics")}.get(name, (name,))
    return " ".join(str(state.ports[port]) for port in group if port in state.ports) or "-"


def health(name: str, state: State) -> str:
    service, _, role = name.partition("-")
    if services.named(service) is None and name != stubs.NAME:
        return "-"
    url = state.urls.get(service if role in ("api", "") else name)
    return services.readiness(url) if url else "unknown (the start did not end)"
