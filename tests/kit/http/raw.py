"""HTTP byte by byte, for requests that no client library would send."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPResponse

from kit.http.live_services import HOST, Live

TIMEOUT = 10.0


@dataclass(frozen=True)
class RawAnswer:
    """What came back; the names of headers are in lower case."""

    status_code: int
    headers: dict[str, str]
    content: bytes


def request(method: str, target: bytes, *headers: bytes, body: bytes | None = None) -> bytes:
    """A request of HTTP/1.1; its length is announced if it has a body."""
    lines = [b"%s %s HTTP/1.1" % (method.encode(), target), b"Host: orders", *headers]
    if body is not None:
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join(lines) + b"\r\n\r\n" + (body or b"")


def chunked(method: str, target: bytes, *headers: bytes, body: bytes, size: int = 65536) -> bytes:
    """The same in chunks, so that nothing says how long the body is."""
    chunks = (body[start : start + size] for start in range(0, len(body), size))
    framed = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    return request(method, target, *headers, b"Transfer-Encoding: chunked") + framed + b"0\r\n\r\n"


@contextmanager
def connection(live: Live) -> Iterator[socket.socket]:
    with closing(socket.create_connection((HOST, live.port), TIMEOUT)) as connected:
        yield connected


def send(connected: socket.socket, data: bytes) -> None:
    """Send as much as the other side takes before it hangs up."""
    with suppress(BrokenPipeError, ConnectionResetError):
        connected.sendall(data)


def answer(connected: socket.socket, method: str = "GET") -> RawAnswer:
    """The next answer on this connection."""
    response = HTTPResponse(connected, method=method)
    response.begin()
    headers = {name.lower(): value for name, value in response.getheaders()}
    return RawAnswer(response.status, headers, response.read())


def exchange(live: Live, data: bytes, method: str = "GET") -> RawAnswer:
    """Send these bytes on a connection of their own; `method` tells whether a body is to come."""
    with connection(live) as connected:
        send(connected, data)
        return answer(connected, method)


def is_closed(connected: socket.socket) -> bool:
    """Wait until the other side has hung up, or for the timeout."""
    try:
        return not connected.recv(1)
    except ConnectionResetError:
        return True
