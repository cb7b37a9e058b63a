"""What one console is told about access, and what it remembers of it."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, field

from outbox.console.access.attempts import LoginAttempts
from outbox.console.access.proxy import Proxy
from outbox.console.access.sessions import Sessions
from outbox.console.access.users import Users

LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})
AT_ONCE = 2
"""Passwords that are compared at once: each needs 64 MiB and a core for a moment."""


@dataclass(frozen=True, slots=True)
class Access:
    """Users with passwords, or a proxy that logs in, or both; and the names of this server.

    `hosts` are names that a request may have in its Host header, without ports, in small letters;
    `*` allows any. A page of another server that is reached by DNS rebinding has another name.
    """

    users: Users | None = None
    proxy: Proxy = field(default_factory=Proxy)
    hosts: Collection[str] = LOOPBACK
    sessions: Sessions = field(default_factory=Sessions)
    attempts: LoginAttempts = field(default_factory=LoginAttempts)
    hashing: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))

    def knows_host(self, host: str) -> bool:
        """Whether a Host header names this server; its port and the root's dot do not matter."""
        name, colon, port = host.lower().rpartition(":")
        if not colon or not (port.isdigit() or port == ""):
            name = host.lower()
        return "*" in self.hosts or name.removesuffix(".") in self.hosts
