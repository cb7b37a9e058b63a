"""What a running system is, written when it is ready; status, demo and a second start read it."""

import json
from dataclasses import asdict, dataclass, field
from typing import Self

from devstack.host.layout import Layout
from devstack.native.supervisor_config import put_private


@dataclass(frozen=True)
class State:
    """`urls` by name (orders, processor, orders-worker …, management), `versions` by product."""

    urls: dict[str, str] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    environment: dict[str, dict[str, str]] = field(default_factory=dict)

    def write(self, layout: Layout) -> None:
        put_private(layout.run / "state.json", json.dumps(asdict(self), indent=1))

    @classmethod
    def read(cls, layout: Layout) -> Self | None:
        """None when nothing runs or a start was broken off."""
        try:
            return cls(**json.loads((layout.run / "state.json").read_text()))
        except (OSError, ValueError, TypeError):
            return None

    @staticmethod
    def forget(layout: Layout) -> None:
        (layout.run / "state.json").unlink(missing_ok=True)
