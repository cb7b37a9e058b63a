"""The objects that the endpoints of the process share; `bootstrap` builds them once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from service_stubs.ledger import Ledger
from service_stubs.trouble import Troubles


@dataclass(frozen=True)
class Dependencies:
    """One field for each shared object."""

    ledger: Ledger
    troubles: Troubles


async def _dependencies(request: Request) -> Dependencies:
    # A coroutine, although it never waits: FastAPI runs a plain function in a thread, one hop each.
    dependencies: Dependencies = request.app.state.dependencies
    return dependencies


Deps = Annotated[Dependencies, Depends(_dependencies)]
