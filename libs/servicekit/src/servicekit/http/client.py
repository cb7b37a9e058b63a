"""A system of somebody else's, over HTTP: asked in time, again if that may help, or not at all.

Invariant: an answer is what its model says, or it is no answer. A call ends within the timeout, its
repetitions included, so that whoever waits for it can still answer in time; after a row of calls
that failed the circuit is open, and calls fail at once until it is tried again.
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
"""Requests to one system; who comes later waits, within the timeout."""
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
    """A client for external systems, which bound by themselves how much they ask at once.

    Without a limit of its own: a request that gives up while it waits for a connection of a full
    pool may leave one behind that is never opened and never given away (httpcore 1.0), until
    there is none left.
    """
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=20)
    return httpx.AsyncClient(base_url=base_url, limits=limits)


class Unavailable(Exception):
    """The system gave no answer: it is away, too slow, failing, or talks nonsense."""

    def __init__(self, system: str, why: str) -> None:
        self.system, self.why = system, why
        super().__init__(f"{system}: {why}")


class NotThere(LookupError):
    """The system answered that there is no such thing."""


class _NoAnswer(Exception):
    """One attempt came to nothing."""


class ExternalSystem:
    """One system, or one call of it: what has a circuit, and a name in the metrics, of its own.

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
        # What is no failure of theirs: a clear no, and a caller of ours that has gone.
        self._circuits = AsyncCircuitBreakerFactory(
            open_after, open_for, exclude=[NotThere, asyncio.CancelledError]
        )

    async def get(self, path: str, model: type[M], **query: str) -> M:
        """Ask for something. Raises `NotThere` or `Unavailable`."""
        return await self._measured("GET", path, model, {"params": query})

    async def post(self, path: str, model: type[M], body: Mapping[str, Any], *, key: str) -> M:
        """Have something done, once however often it is sent with this key.

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
            # Whoever goes away leaves the request to its own end, which is near.
            asking = asyncio.create_task(self._ask(method, path, options, until))
            asking.add_done_callback(_heard)
            return _read(model, await asyncio.shield(asking))

        async with await self._circuits.get_breaker(self.name), asyncio.timeout(self._timeout):
            return await retrying(attempt)

    async def _ask(self, method: str, path: str, options: Mapping[str, Any], until: float) -> bytes:
        """The body of an answer that came in time."""
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
    """Its failure is nobody's any more when whoever asked has gone."""
    if not asking.cancelled():
        asking.exception()
