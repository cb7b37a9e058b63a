"""What a process does once everything it needs is there."""

from __future__ import annotations

import asyncio
import gc
from typing import Any, cast

from fastapi import FastAPI

from servicekit.http.access_rules import AccessRules
from servicekit.process.runtime import Foundation
from servicekit.process.server import bind


async def test_objects_built_before_the_first_request_are_never_collected() -> None:
    stop, nobody = asyncio.Event(), cast("Any", None)
    stop.set()
    listener = bind("127.0.0.1", 0, variable="PORT")
    app = FastAPI()
    try:
        await Foundation(nobody, listener, "PORT", nobody, stop, AccessRules()).serve(app)
        assert gc.get_freeze_count() > 10_000
        assert not any(one is app for one in gc.get_objects())
    finally:
        gc.unfreeze()
