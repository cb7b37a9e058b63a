"""Calls to an external system over HTTP: bounded in time, repeated if that may help.

Invariant: an answer fits its model, or it counts as no answer. A call ends within the timeout, its
repetitions included, so that the caller can still answer in time. After several failed calls in a
row the circuit opens: calls fail at once until one is tried again. See decision 1302.
"""

import asyncio
import time
from collections.abc import Mapping
from typing import Any, TypeVar

import httpx
from prometheus_client import Counter, Histogram
from purgatory import AsyncCircuitBreakerFactory
from purgatory.domain.model import OpenedState
from pydantic import BaseModel, ValidationError
from tenacity import (
    AsyncRetrying,
    retry_if_exception_type,
    stop_after_attempt,
    wait_random_exponential,
)

__all__ = ["TIMEOUT", "ExternalSystem", "NotThere", "Unavailable", "open_client"]

TIMEOUT = 1.0
ATTEMPTS = 3
LONGEST_ANSWER = 1024 * 1024
AT_ONCE = 50
"""Requests to one system at a time; a later one waits, within its timeout."""
OPEN_AFTER = 5
OPEN_FOR = 5.0

CALLS = Counter("external_calls_total", "Calls to external systems.", ["system", "outcome"])
SECONDS = Histogram(
    "external_call_seconds",
    "A call to an external system, with its repetitions.",
    ["system"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 1.5, 3),
)

M = TypeVar("M", bound=BaseModel)


def open_client(base_url: str) -> httpx.AsyncClient:
    """Return a client for external systems, which limit their own requests.

    The pool has no limit of its own: a request that gives up while it waits for a full pool may
    leave a connection behind that is never opened and never released (httpcore 1.0), until none
    is left.
    """
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=20)
    return httpx.AsyncClient(base_url=base_url, limits=limits)


class Unavailable(Exception):
    """The system gave no answer: it is away, too slow, failing, or its answer does not fit."""

    def __init__(self, system: str, why: str) -> None:
        self.system, self.why = system, why
        super().__init__(f"{system}: {why}")


class NotThere(LookupError):
    """The system answered that there is no such thing."""


class _NoAnswer(Exception):
    """One attempt came to nothing."""


class ExternalSystem:
    """One system, or one kind of call to it: it has its own circuit and its own name in metrics.

    `timeout` is in seconds, over all attempts. The circuit opens after `open_after` calls that
    failed in a row, for `open_for` seconds.
    """

    def __init__(
        self,
        name: str,
        http: httpx.AsyncClient,
        *,
        timeout: float = TIMEOUT,
        open_after: int = OPEN_AFTER,
        open_for: float = OPEN_FOR,
    ) -> None:
        self.name = name
        self._http = http
        self._timeout = timeout
        self._free = asyncio.Semaphore(AT_ONCE)
        # A clear no is no failure of the system, and neither is a caller that has gone.
        self._circuits = AsyncCircuitBreakerFactory(
            open_after, open_for, exclude=[NotThere, asyncio.CancelledError]
        )

    async def get(self, path: str, model: type[M], **query: str) -> M:
        """Send a GET. Raises `NotThere` or `Unavailable`."""
        return await self._measured("GET", path, model, {"params": query})

    async def post(self, path: str, model: type[M], body: Mapping[str, Any], *, key: str) -> M:
        """Send a POST that takes effect once, however often it is sent with this key.

        Raises `Unavailable` when it is not known whether it was done.
        """
        options = {"json": body, "headers": {"Idempotency-Key": key}}
        return await self._measured("POST", path, model, options)

    async def _measured(
        self, method: str, path: str, model: type[M], options: Mapping[str, Any]
    ) -> M:
        began, outcome = time.perf_counter(), "cancelled"
        try:
            answer = await self._within_the_circuit(method, path, model, options)
            outcome = "ok"
        except NotThere:
            outcome = "not_there"
            raise
        except OpenedState as opened:
            opened.with_traceback(None)  # the same object is raised every time, and would grow
            outcome = "circuit_open"
            raise Unavailable(self.name, "it failed too often; asked again in a moment") from None
        except TimeoutError:
            outcome = "timeout"
            raise Unavailable(self.name, f"no answer within {self._timeout:g} s") from None
        except _NoAnswer as problem:
            outcome = "failed"
            raise Unavailable(self.name, str(problem)) from None
        else:
            return answer
        finally:
            CALLS.labels(self.name, outcome).inc()
            SECONDS.labels(self.name).observe(time.perf_counter() - began)

    async def _within_the_circuit(
        self, method: str, path: str, model: type[M], options: Mapping[str, Any]
    ) -> M:
        until = time.monotonic() + self._timeout
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(_NoAnswer),
            stop=stop_after_attempt(ATTEMPTS),
            wait=wait_random_exponential(multiplier=0.05, max=0.3),
            reraise=True,
        )

        async def attempt() -> M:
            # A cancelled caller leaves the request to end by itself, which is soon.
            asking = asyncio.create_task(self._ask(method, path, options, until))
            asking.add_done_callback(_heard)
            return _read(model, await asyncio.shield(asking))

        async with await self._circuits.get_breaker(self.name), asyncio.timeout(self._timeout):
            return await retrying(attempt)

    async def _ask(self, method: str, path: str, options: Mapping[str, Any], until: float) -> bytes:
        """Return the body of an answer that came in time."""
        body = bytearray()
        try:
            async with self._free:
                left = until - time.monotonic()
                if left <= 0:
                    raise TimeoutError
                async with self._http.stream(method, path, timeout=left, **options) as answer:
                    async for chunk in answer.aiter_bytes():
                        body += chunk
                        if time.monotonic() > until:  # httpx counts from chunk to chunk
                            raise TimeoutError
                        if len(body) > LONGEST_ANSWER:
                            raise _NoAnswer("an answer without end")
        except httpx.TimeoutException:
            raise TimeoutError from None
        except httpx.HTTPError as problem:
            raise _NoAnswer(type(problem).__name__) from problem
        if answer.status_code == httpx.codes.NOT_FOUND:
            raise NotThere(f"{self.name} knows of no such thing")
        if not answer.is_success:
            raise _NoAnswer(f"status {answer.status_code}")
        return bytes(body)


def _read(model: type[M], body: bytes) -> M:
    try:
        return model.model_validate_json(body)
    except ValidationError as problem:
        raise _NoAnswer(f"nonsense in {problem.error_count()} places") from problem


def _heard(asking: asyncio.Task[bytes]) -> None:
    """Mark the failure as seen: the caller may have gone."""
    if not asking.cancelled():
        asking.exception()
