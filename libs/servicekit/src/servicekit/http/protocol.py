"""What is refused before there is a request: input that is not HTTP, a huge head, a slow client.

The server's own protocol buffers a head of any size, waits for it for ever and answers in plain
text. Here every refusal is a problem, a connection holds at most MAX_HEAD unread bytes, and a
client that does not read its answer is disconnected.
"""

import asyncio
import logging
import re
from enum import Enum, auto
from typing import Any
from urllib.parse import quote

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from servicekit.http import problems
from servicekit.http.malformed_requests import MALFORMED_REQUESTS
from servicekit.http.problems import Problem
from servicekit.http.security_headers import SECURITY_HEADERS
from servicekit.http.slow_clients import WriteWatch

__all__ = ["PATIENCE", "LimitedProtocol"]

MAX_URL = 16 * 1024
MAX_HEAD = 64 * 1024  # see decision 0201
PATIENCE = 30.0
# Closing a connection while the caller still sends resets it and loses the answer (RFC 9112, 9.6).
LINGER = 1.0
FIRST_REQUEST = 0.1  # seconds that a stopping process leaves to a connection it just accepted

_AUTHORITY_END = re.compile(rb"[/?#]")
_URI = "/%:@!$&'()*+,;=-._~"
_SILENT = logging.getLogger("uvicorn.protocol")
_SILENT.setLevel(logging.ERROR)


class Reading(Enum):
    """Where in a request the next byte belongs."""

    NOTHING = auto()
    HEAD = auto()
    BODY = auto()


class MalformedRequest(Problem):
    """The input is not HTTP/1.1."""

    def __init__(self, detail: str = "This is not a request of HTTP/1.1.") -> None:
        super().__init__(400, "malformed_request", detail)


class ExpectationFailed(Problem):
    """The client expects what this server cannot do (RFC 9110, section 10.1.1)."""

    def __init__(self) -> None:
        super().__init__(417, "expectation_failed", "Only Expect: 100-continue can be met.")


class UriTooLong(Problem):
    """The address of the request is longer than the limit."""

    def __init__(self) -> None:
        detail = f"An address may have at most {MAX_URL} bytes."
        super().__init__(414, "uri_too_long", detail)


class HeadTooLarge(Problem):
    """The head of the request, all headers together, is longer than the limit."""

    def __init__(self) -> None:
        detail = f"The headers of a request may have at most {MAX_HEAD} bytes."
        super().__init__(431, "request_header_fields_too_large", detail)


class TooSlow(Problem):
    """The request was not complete in time."""

    def __init__(self, patience: float) -> None:
        detail = f"A request has to be here within {patience:g} seconds."
        super().__init__(408, "request_timeout", detail)


# see decision 1412
class LimitedProtocol(HttpToolsProtocol):
    """One connection.

    `patience` is in seconds: from a request's first byte to its last, and for an answer of which
    the client reads nothing.
    """

    _flushing: WriteWatch

    def __init__(self, *arguments: Any, patience: float = PATIENCE, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.logger = _SILENT  # uvicorn logs malformed requests without an address
        self.url = b""
        self._patience = patience
        self._deadline: asyncio.TimerHandle | None = None
        self._reading = Reading.NOTHING
        self._unseen = 0
        self._refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._flushing = WriteWatch(transport, self.loop, self._patience)
        self._expect_more()

    def connection_lost(self, exc: Exception | None) -> None:
        self._expect_nothing()
        self._flushing.end()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """Finish the request in flight; a connection that is new may still send its first one."""
        self.loop.call_later(0 if self.cycle else FIRST_REQUEST, super().shutdown)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._flushing.watch()

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        self._unseen += len(data)
        super().data_received(data)
        if self._unseen > MAX_HEAD:
            self._refuse(UriTooLong() if len(self.url) > MAX_URL else HeadTooLarge())

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._reading = Reading.HEAD
        self._expect_more()

    def on_headers_complete(self) -> None:
        self._unseen = 0
        if problem := self._excess() or self._wrong_head():
            self._refuse(problem)
            raise problem  # ends the parsing: what follows begins no request
        self._prefer_target()
        super().on_headers_complete()
        self._reading = Reading.BODY
        # The request keeps its list: trailers are not headers (RFC 9110, section 6.5.1).
        self.headers = []

    def on_body(self, body: bytes) -> None:
        self._unseen = 0
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._unseen = 0
        if not self._refused:
            self._reading = Reading.NOTHING
            self._expect_nothing()
            super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._flushing.watch()
        if self._deadline is not None:
            self._expect_more()  # the time that our own answer took does not count

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 ours says more
        self._refuse(MalformedRequest())

    def _unsupported_upgrade_warning(self) -> None:
        """An Upgrade may be ignored (RFC 9110, section 7.8), without a line in the log."""

    def _excess(self) -> Problem | None:
        if len(self.url) > MAX_URL:
            return UriTooLong()
        if sum(len(name) + len(value) for name, value in self.headers) > MAX_HEAD:
            return HeadTooLarge()
        return None

    def _wrong_head(self) -> Problem | None:
        version, names = self.parser.get_http_version(), [name for name, _ in self.headers]
        if version not in ("1.0", "1.1"):
            return MalformedRequest()
        # Two may be read by two parties as two requests (RFC 9112, section 3.2).
        hosts = names.count(b"host")
        if hosts > 1 or (hosts == 0 and version == "1.1"):
            return MalformedRequest("A request of HTTP/1.1 has one Host header.")
        if b"expect" in names and not self.expect_100_continue:
            return ExpectationFailed()
        return None

    def _prefer_target(self) -> None:
        """The host of an address in absolute form counts, not the header (RFC 9112, 3.2.2)."""
        scheme, there, rest = self.url.partition(b"://")
        if there and scheme.isalpha():
            authority = _AUTHORITY_END.split(rest, maxsplit=1)[0].rpartition(b"@")[2]
            self.headers[:] = [one for one in self.headers if one[0] != b"host"]
            self.headers.append((b"host", authority))

    def _expect_more(self) -> None:
        self._expect_nothing()
        self._deadline = self.loop.call_later(self._patience, self._too_late)

    def _expect_nothing(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_late(self) -> None:
        if self.pipeline or self._answers_another():
            self._expect_more()  # this server is the one that does not read on
        elif self._reading is Reading.NOTHING:
            self.transport.close()
        else:
            self._refuse(TooSlow(self._patience))

    def _answers_another(self) -> bool:
        """Whether an earlier, complete request is still being answered."""
        cycle = self.cycle
        return cycle is not None and not cycle.response_complete and not cycle.more_body

    def _refuse(self, problem: Problem) -> None:
        """Answer and read no more; an earlier request without an answer gets its own instead."""
        if self._refused:
            return
        self._refused = True
        MALFORMED_REQUESTS.note(problem.code, self.client)
        self._expect_nothing()
        if self._answers_another():
            self.cycle.keep_alive = False
            return
        if self._reading is not Reading.BODY or not self.cycle.response_started:
            self.transport.write(self._written(problem))
        if self._reading is Reading.BODY:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.flow.resume_reading()
        self.loop.call_later(LINGER, self.transport.close)

    def _written(self, problem: Problem) -> bytes:
        path = quote(self.url.partition(b"?")[0], safe=_URI) or "/"
        answer = problems.response(problem, {"path": path, "raw_path": path.encode()})
        headers = (
            *self.server_state.default_headers,
            *answer.raw_headers,
            *((name.encode(), value.encode()) for name, value in SECURITY_HEADERS.items()),
            (b"connection", b"close"),
        )
        lines = b"".join(name + b": " + value + b"\r\n" for name, value in headers)
        return STATUS_LINE[answer.status_code] + lines + b"\r\n" + bytes(answer.body)
