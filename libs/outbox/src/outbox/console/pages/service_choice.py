"""Pages that show one service at a time: which one, by `?service=`; the first without it."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends

from outbox.console.view import CurrentView


async def _chosen(view: CurrentView, service: str = "") -> str:
    return view.service(service).name if service else next(iter(view.services))


Service = Annotated[str, Depends(_chosen)]
"""The name of the service that the page shows. Raises 404 for one that is not known."""
