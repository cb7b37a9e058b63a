"""What is known of a running system. It is written once the system is ready, and read by others."""

import json
from dataclasses import asdict, dataclass, field
from typing import Self

from devstack.host.layout import Layout, put_private
from devstack.native import operator_console, services, stubs


@dataclass(frozen=True)
class State:
    """`urls` by name (orders, processor, orders-worker …, management), `versions` by product."""

    urls: dict[str, str] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    environment: dict[str, dict[str, str]] = field(default_factory=dict)

    def ports_of(self, name: str) -> str:
        """The ports of a process, for `make status`."""
        group = {"rabbitmq": ("amqp", "management", "stream", "rabbitmq-metrics")}.get(name)
        return " ".join(str(self.ports[p]) for p in group or (name,) if p in self.ports) or "-"

    def health(self, name: str) -> str:
        """What a service's process reports about itself; `-` for other programs."""
        service, _, role = name.partition("-")
        if services.named(service) is None and name not in (stubs.NAME, operator_console.NAME):
            return "-"
        url = self.urls.get(service if role in ("api", "") else name)
        return services.readiness(url) if url else "unknown (the start did not end)"

    def write(self, layout: Layout) -> None:
        put_private(layout.run / "state.json", json.dumps(asdict(self), indent=1))

    @classmethod
    def read(cls, layout: Layout) -> Self | None:
        """None when nothing runs or a start was interrupted."""
        try:
            return cls(**json.loads((layout.run / "state.json").read_text()))
        except (OSError, ValueError, TypeError):
            return None

    @staticmethod
    def forget(layout: Layout) -> None:
        (layout.run / "state.json").unlink(missing_ok=True)
