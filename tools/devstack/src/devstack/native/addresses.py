"""The ports of a system, and the URLs of its services."""

from collections.abc import Mapping
from dataclasses import dataclass

from devstack.host.ports import Ports
from devstack.native import operator_console, prometheus, services, stubs
from devstack.native.infrastructure import Wanted
from devstack.native.services import ROLES, SERVICES, program_name

# A service's own name is the name of its API's URL.
NAMES = {
    program_name(service, role): service.name if role == "api" else f"{service.name}-worker"
    for role in ROLES
    for service in SERVICES
}


@dataclass(frozen=True)
class Plan:
    """How to choose ports. `standard` prefers the well-known ports and insists on HTTP ports."""

    wanted: Wanted
    env: Mapping[str, str]
    with_services: bool
    standard: bool
    with_console: bool = False

    def carry_out(self, claims: Ports) -> dict[str, int]:
        wishes = self.wanted.ports()
        if self.with_services:
            wishes |= {
                program_name(service, role): service.port if role == "api" else service.worker_port
                for role in ROLES
                for service in SERVICES
            }
            if self.wanted.stubs:
                wishes[stubs.NAME] = stubs.PORT
            if self.with_console:
                wishes[operator_console.NAME] = operator_console.PORT
            if self.standard:
                self._insist(claims, wishes)
        claims.choose(wishes if self.standard else dict.fromkeys(wishes))
        return dict(claims.chosen)

    def _insist(self, claims: Ports, wishes: dict[str, int | None]) -> None:
        """The user's ports must be free: HTTP ports, and worker ports whose variable is set."""
        host = services.listening_host(self.env)
        for service in SERVICES:
            variables = {"api": service.port_variable, "worker": service.worker_port_variable}
            for role, variable in variables.items():
                if role == "api" or self.env.get(variable):
                    name = program_name(service, role)
                    claims.insist(name, variable, services.port_of(service, role, self.env), host)
                    del wishes[name]
        if stubs.NAME in wishes and (port := stubs.insisted_port(self.env)):
            claims.insist(stubs.NAME, stubs.PORT_VARIABLE, port, host)
            del wishes[stubs.NAME]
        if prometheus.NAME in wishes and (port := prometheus.insisted_port(self.env)):
            claims.insist(prometheus.NAME, prometheus.PORT_VARIABLE, port)
            del wishes[prometheus.NAME]
        console = operator_console
        if console.NAME in wishes and (port := console.insisted_port(self.env)):
            claims.insist(console.NAME, console.PORT_VARIABLE, port, console.host(self.env))
            del wishes[console.NAME]


def urls(ports: Mapping[str, int], env: Mapping[str, str]) -> dict[str, str]:
    host = services.reachable_host(env)
    return {key: f"http://{host}:{ports[name]}" for name, key in NAMES.items()}


def by_program(found: Mapping[str, str]) -> dict[str, str]:
    """The same URLs by the name of the process."""
    known = {**NAMES, stubs.NAME: stubs.NAME, operator_console.NAME: operator_console.NAME}
    return {name: found[key] for name, key in known.items() if key in found}
