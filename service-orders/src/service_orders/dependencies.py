"""What endpoints ask for by type; `bootstrap` puts it on the application."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

import outbox
from servicekit import waiting


def _work(request: Request) -> outbox.Work:
    work: outbox.Work = request.app.state.work
    return work


def _waiters(request: Request) -> waiting.Waiters:
    waiters: waiting.Waiters = request.app.state.waiters
    return waiters


Work = Annotated[outbox.Work, Depends(_work)]
Waiters = Annotated[waiting.Waiters, Depends(_waiters)]
