"""Where the HTTP operations of a worker are, and whether anybody may call them."""

from fastapi import FastAPI
from starlette.responses import JSONResponse, Response

from outbox.operations_api.access import Access
from servicekit.http.routing import Router

__all__ = ["mount_operations"]

PATH = "/ops/v1"


def mount_operations(app: FastAPI, operations: FastAPI) -> None:
    """Answer the operations below `/ops/v1`; `/ops` leads there. Nothing may be added after it."""
    router = Router(include_in_schema=False)
    access: Access = operations.state.access
    known = len(access.tokens.callers)
    tokens = f"{known} known" if known else "none are set: OPERATIONS_TOKENS sets them"
    body = {"operations": PATH, "openapi": f"{PATH}/openapi.json", "tokens": tokens}

    @router.get("/ops")
    async def about() -> Response:
        return JSONResponse(body)

    app.include_router(router)
    app.mount(PATH, operations)
