"""The ports of the containers on 127.0.0.1, kept for every command on a running system.

Compose recreates a container when its ports change, so every command passes the ports that the
start chose.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from devstack.host import environment
from devstack.host.layout import private
from devstack.host.ports import Ports
from devstack.native.services import SERVICES

_PORT = re.compile(r"\$\{([A-Z_]+_PORT):-(\d+)\}")


@dataclass(frozen=True)
class Published:
    """Every `${NAME_PORT:-n}` of the compose file. `folder` keeps the chosen ports."""

    folder: Path
    compose: Path
    env: Mapping[str, str]

    def choose(self, *, with_services: bool = True) -> dict[str, str]:
        """HTTP ports and ports that the user set must be free; others give way to a free one."""
        private(self.folder)
        found = {name: int(port) for name, port in _PORT.findall(self.compose.read_text())}
        own = {service.port_variable for service in SERVICES} & set(found)
        given = {
            name: environment.number(self.env, name, 0)
            for name in set(found) - own
            if self.env.get(name, "").strip()
        }
        with Ports(self.folder) as claims:
            for name in own if with_services else ():
                claims.insist(name, name, environment.number(self.env, name, found[name]))
            claims.chosen |= given
            claims.choose({n: port for n, port in found.items() if n not in own | set(given)})
            return {name: str(port) for name, port in claims.chosen.items() if name in found}

    def kept(self) -> dict[str, str]:
        return {name: str(port) for name, port in Ports(self.folder).chosen.items()}
