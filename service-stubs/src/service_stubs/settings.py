"""The variables of this service; see `.env.example` for what they mean."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from servicekit.settings import Port, ProcessSettings


class Settings(ProcessSettings):
    """Read once, at start."""

    owned_prefixes: ClassVar[tuple[str, ...]] = ("STUBS_",)

    stubs_port: Port = 3629
    stubs_ledger: Path = Path("stubs-ledger.sqlite")
