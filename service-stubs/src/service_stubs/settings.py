"""The environment variables of this service; `.env.example` explains them."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from servicekit.process.settings import Port, ProcessSettings


class Settings(ProcessSettings):
    """All settings, read once at the start."""

    owned_prefixes: ClassVar[tuple[str, ...]] = ("STUBS_",)

    stubs_port: Port = 3629
    stubs_ledger: str = Field("stubs-ledger.sqlite", pattern=r"^\S(.*\S)?$")
