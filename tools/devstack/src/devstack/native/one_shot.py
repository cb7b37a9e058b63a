"""Commands of a service that end by themselves, such as `seed`."""

import subprocess
from collections.abc import Mapping

from devstack.host.errors import Trouble
from devstack.host.layout import Layout
from devstack.native.services import Service, command


def run(
    layout: Layout,
    environments: Mapping[str, Mapping[str, str]],
    service: Service,
    *arguments: str,
) -> None:
    """Run it with the service's variables; what it says is shown. Trouble if it fails."""
    name, *options = arguments
    done = subprocess.run(
        [*command(layout.python, service, name), *options],
        cwd=layout.checkout,
        env=environments[service.name],
        stdin=subprocess.DEVNULL,
        check=False,
    )
    if done.returncode:
        raise Trouble(f"{service.folder}: {name} failed, see above", status=done.returncode)
