"""A form is the console's own if it has the token of the session (OWASP, "CSRF Prevention")."""

from __future__ import annotations

import secrets

from fastapi import HTTPException, Request

from outbox.console.access.guard import SAFE_METHODS, Visitor


async def refuse_forged(request: Request) -> None:
    """Runs before every endpoint. Raises 403 for a form without the token of its session."""
    session = Visitor.of(request).session
    if request.method in SAFE_METHODS or session is None:  # the guard lets only a login through
        return
    given = (await request.form()).get("csrf")
    text = given if isinstance(given, str) else ""
    if not secrets.compare_digest(text.encode(errors="replace"), session.csrf.encode()):
        detail = "This form is not from this login. Open the page again and repeat it."
        raise HTTPException(403, detail)
