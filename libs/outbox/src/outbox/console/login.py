"""The login page, and its end."""

from __future__ import annotations

import asyncio
import logging
import math
import re
from time import monotonic
from typing import Annotated

from fastapi import APIRouter, Form, Request
from starlette.responses import RedirectResponse, Response

from outbox.console.access.guard import COOKIE, Visitor, set_cookie
from outbox.console.access.rules import Access
from outbox.console.access.users import LONGEST_PASSWORD, User
from outbox.console.rendering import path_for, redirect, render

_OWN_PATH = re.compile(r"/(?![/\\])[\x21-\x5b\x5d-\x7e]*")
"""A path of this server; browsers read //host and /\\host as another one."""

router = APIRouter()
logger = logging.getLogger(__name__)


@router.get("/login", name="login")
async def form(request: Request, next: str | None = None) -> Response:
    return _form(request, next)


@router.post("/login")
async def log_in(
    request: Request,
    name: Annotated[str, Form(max_length=64)],
    password: Annotated[str, Form(max_length=LONGEST_PASSWORD)],
    next: Annotated[str | None, Form()] = None,
) -> Response:
    access: Access = request.app.state.access
    visitor = Visitor.of(request)
    if wait := access.attempts.begin(name, visitor.address, monotonic()):
        return _wait(request, next, wait)
    user = await _verified(access, name, password)
    if user is None:
        logger.warning("a wrong login as %r from %s", name, visitor.address)
        return _form(request, next, status=403, problem="Name or password is wrong.")
    access.attempts.succeed(name, visitor.address)
    logger.info("%s has logged in from %s as %s", user.name, visitor.address, user.role.value)
    access.sessions.end(request.cookies.get(COOKIE))
    token, _ = access.sessions.begin(user)
    answer = RedirectResponse(_own(next) or path_for(request, "overview"), 303)
    set_cookie(answer, request, token, is_secure=visitor.is_secure)
    return answer


@router.post("/logout", name="logout")
async def log_out(request: Request) -> Response:
    access: Access = request.app.state.access
    access.sessions.end(request.cookies.get(COOKIE))
    answer = redirect(request, "login")
    answer.delete_cookie(COOKIE, path=request.scope.get("root_path", "") or "/")
    return answer


async def _verified(access: Access, name: str, password: str) -> User | None:
    if access.users is None:
        return None
    async with access.hashing:
        return await asyncio.to_thread(access.users.verify, name, password)


def _wait(request: Request, target: str | None, seconds: float) -> Response:
    whole = math.ceil(seconds)
    problem = f"Too many wrong logins. Wait {whole} s, then try again."
    answer = _form(request, target, status=429, problem=problem)
    answer.headers["Retry-After"] = str(whole)
    return answer


def _form(
    request: Request, target: str | None, *, status: int = 200, problem: str | None = None
) -> Response:
    access: Access = request.app.state.access
    users = access.users
    return render(
        request,
        "login.html",
        status=status,
        problem=problem,
        next=_own(target),
        takes_passwords=users is not None,
        for_development=users.for_development if users else {},
    )


def _own(target: str | None) -> str | None:
    """The target, if it is a path of this server."""
    return target if target and _OWN_PATH.fullmatch(target) else None
