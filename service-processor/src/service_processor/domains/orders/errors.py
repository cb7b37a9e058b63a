"""The refusals of requests about products."""

from __future__ import annotations

from servicekit.service.rows import NotFound


class ProductNotFound(NotFound):
    noun = "product"
