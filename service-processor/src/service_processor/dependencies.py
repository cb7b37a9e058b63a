"""The objects that the endpoints of one process share; `bootstrap` builds them once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Request

if TYPE_CHECKING:
    from outbox import Work
    from service_processor.seating.resources import SeatingResources


@dataclass(frozen=True)
class Dependencies:
    """One field for each shared object. `default_timezone` is an IANA name."""

    work: Work
    seating: SeatingResources
    default_timezone: str


async def _dependencies(request: Request) -> Dependencies:
    # A coroutine, although it never waits: FastAPI runs a plain function in a thread, one hop each.
    dependencies: Dependencies = request.app.state.dependencies
    return dependencies


Deps = Annotated[Dependencies, Depends(_dependencies)]
