"""Ready frames straight to the broker: without a database, a client library or an event loop.

It is the ceiling where no C publisher can be compiled, and it fills queues for the consumers.
Frames are AMQP 0-9-1 section 4.2; everything is marshalled before the clock starts.
"""

from __future__ import annotations

import resource
import socket
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from pamqp import body, commands, frame, header
from pamqp.exceptions import UnmarshalingException

WINDOW, PER_WRITE = 1_000, 250
CHANNEL = 1
PATIENCE = 30.0


@dataclass(frozen=True)
class Published:
    """What a run took, in seconds."""

    seconds: float
    cpu: float


def frames_of(exchange: str, key: str, properties: dict[str, Any], payload: bytes) -> bytes:
    """One mandatory message: its method, header and body frames."""
    given = {**properties, "message_type": properties["type"]}
    del given["type"]
    parts = (
        commands.Basic.Publish(exchange=exchange, routing_key=key, mandatory=True),
        header.ContentHeader(body_size=len(payload), properties=commands.Basic.Properties(**given)),
        body.ContentBody(payload),
    )
    return b"".join(frame.marshal(part, CHANNEL) for part in parts)


def publish(url: str, messages: Iterable[bytes]) -> Published:
    """Publish all, a window at most in flight; return when the broker has confirmed the last."""
    ready = list(messages)
    wire = _Wire(url)
    began, used = time.perf_counter(), _cpu()
    for first in range(0, len(ready), PER_WRITE):
        chunk = ready[first : first + PER_WRITE]
        wire.socket.sendall(b"".join(chunk))
        wire.in_flight += len(chunk)
        wire.wait_until(WINDOW - PER_WRITE)
    wire.wait_until(0)
    done = Published(time.perf_counter() - began, _cpu() - used)
    wire.close()
    return done


class _Wire:
    """A blocking connection with one confirming channel."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.socket = socket.create_connection((parts.hostname, parts.port or 5672), PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.in_flight = 0
        self._settled = 0
        self._alone: set[int] = set()
        self._buffer = b""
        self._frames = self._received()
        self._open(parts.username or "", parts.password or "", unquote(parts.path[1:]) or "/")

    def _open(self, user: str, password: str, vhost: str) -> None:
        self.socket.sendall(b"AMQP\x00\x00\x09\x01")
        self._expect(commands.Connection.Start)
        login = commands.Connection.StartOk({}, "PLAIN", f"\0{user}\0{password}", "en_US")
        self._send(0, login)
        self._expect(commands.Connection.Tune)
        self._send(0, commands.Connection.TuneOk(CHANNEL, 131_072, 0))
        self._send(0, commands.Connection.Open(vhost))
        self._expect(commands.Connection.OpenOk)
        self._send(CHANNEL, commands.Channel.Open())
        self._expect(commands.Channel.OpenOk)
        self._send(CHANNEL, commands.Confirm.Select())
        self._expect(commands.Confirm.SelectOk)

    def wait_until(self, at_most: int) -> None:
        """Read confirms until no more than so many messages are in flight."""
        while self.in_flight > at_most:
            ack = self._expect(commands.Basic.Ack)
            if ack.multiple:
                covered = {tag for tag in self._alone if tag <= ack.delivery_tag}
                self._alone -= covered
                self.in_flight -= ack.delivery_tag - self._settled - len(covered)
                self._settled = ack.delivery_tag
            else:
                self._alone.add(ack.delivery_tag)
                self.in_flight -= 1
            while self._settled + 1 in self._alone:
                self._settled += 1
                self._alone.remove(self._settled)

    def close(self) -> None:
        self._send(0, commands.Connection.Close(200, "done", 0, 0))
        self._expect(commands.Connection.CloseOk)
        self.socket.close()

    def _send(self, channel: int, method: Any) -> None:
        self.socket.sendall(frame.marshal(method, channel))

    def _expect(self, kind: type[Any]) -> Any:
        received = next(self._frames)
        if not isinstance(received, kind):
            raise TypeError(f"the broker sent {received!r} where {kind.__name__} was due")
        return received

    def _received(self) -> Iterator[Any]:
        while True:
            try:
                size, _, received = frame.unmarshal(self._buffer)
            except UnmarshalingException:
                size, received = 0, None
            if size and received is not None:
                self._buffer = self._buffer[size:]
                yield received
            else:
                arrived = self.socket.recv(65_536)
                if not arrived:
                    raise ConnectionError("the broker closed the connection")
                self._buffer += arrived


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
