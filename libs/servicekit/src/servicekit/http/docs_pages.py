"""The pages for people: links at `/`, Swagger UI and ReDoc, under several names.

Their scripts come from this service, in the version that the lock file pins. The policy of each
page lets no other script run (Content Security Policy Level 3, section 8.3): a page in the API's
own origin can do all that its reader can. See decision 1204.
"""

import base64
import hashlib
import html
import re
from importlib.resources import files
from pathlib import Path

from fastapi import FastAPI
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html
from starlette.responses import FileResponse, HTMLResponse, RedirectResponse, Response

from servicekit.http.problems import Problem
from servicekit.http.routing import Router

__all__ = ["docs_router"]

ASSETS = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "redoc.standalone.js": "text/javascript",
    "favicon.png": "image/png",
}
_KEPT = {"Cache-Control": "public, max-age=86400"}
_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)
_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{title}</title>
<h1>{title} {version}</h1><p>{description}</p><ul>{links}</ul></html>
"""


def docs_router(app: FastAPI, *, shown: bool) -> Router:
    """Return the pages of `app`; unless they are `shown`, only `/` and the document itself."""
    router = Router(include_in_schema=False)
    links = {"/openapi.json": "the OpenAPI document", "/health": "health", "/metrics": "metrics"}
    if shown:
        pages = {"/docs": "try it out (Swagger UI)", "/redoc": "read it (ReDoc)"}
        links = {**pages, **links}
        _add_pages(router, app.title)
    others = {"/api/openapi.json": "/openapi.json", "/api/openapi": "/docs", "/api/redoc": "/redoc"}
    for other, target in others.items():
        if target in links:
            _lead(router, other, target)
    welcome = _page(_welcome(app, links))

    @router.get("/")
    async def home() -> Response:
        return welcome

    return router


def _lead(router: Router, other: str, target: str) -> None:
    @router.get(other)
    async def lead() -> Response:
        return RedirectResponse(target)


def _add_pages(router: Router, title: str) -> None:
    folder = Path(str(files("fastapi_offline") / "static"))
    swagger = get_swagger_ui_html(
        openapi_url="/openapi.json",
        title=f"{title} – Swagger UI",
        swagger_js_url="/docs/assets/swagger-ui-bundle.js",
        swagger_css_url="/docs/assets/swagger-ui.css",
        swagger_favicon_url="/docs/assets/favicon.png",
    )
    redoc = get_redoc_html(
        openapi_url="/openapi.json",
        title=f"{title} – ReDoc",
        redoc_js_url="/docs/assets/redoc.standalone.js",
        redoc_favicon_url="/docs/assets/favicon.png",
        with_google_fonts=False,
    )
    pages = {"/docs": _page(bytes(swagger.body)), "/redoc": _page(bytes(redoc.body))}
    for path, page in pages.items():
        _show(router, path, page)

    @router.get("/docs/assets/{name}")
    async def asset(name: str) -> Response:
        if name not in ASSETS:
            raise Problem(404, "not_found", "There is nothing at this address.")
        return FileResponse(folder / name, headers=_KEPT, media_type=ASSETS[name])


def _show(router: Router, path: str, page: HTMLResponse) -> None:
    @router.get(path)
    async def show() -> Response:
        return page


def _page(body: bytes) -> HTMLResponse:
    """Return the page with a policy that allows its own scripts and files of this service only."""
    hashes = "".join(f" 'sha256-{_digest(script)}'" for script in _SCRIPT.findall(body.decode()))
    policy = (
        f"default-src 'none'; script-src 'self'{hashes}; style-src 'self' 'unsafe-inline';"
        " img-src 'self' data:; font-src 'self' data:; connect-src 'self'; worker-src blob:;"
        " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return HTMLResponse(body, headers={"Content-Security-Policy": policy})


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _welcome(app: FastAPI, links: dict[str, str]) -> bytes:
    items = "".join(f'<li><a href="{path}">{path}</a>: {what}</li>' for path, what in links.items())
    texts = {"title": app.title, "version": app.version, "description": app.description}
    escaped = {name: html.escape(text) for name, text in texts.items()}
    return _PAGE.format(links=items, **escaped).encode()
