"""What endpoints ask for by type; `bootstrap` puts it on the application."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

import outbox


def _work(request: Request) -> outbox.Work:
    work: outbox.Work = request.app.state.work
    return work


Work = Annotated[outbox.Work, Depends(_work)]
