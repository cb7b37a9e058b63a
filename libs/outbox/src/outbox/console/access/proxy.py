"""A proxy in front that logs people in itself, and says who they are in a header.

Its headers are believed from its own addresses only; from others they are not read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from outbox.console.access.users import User
from outbox.errors import InvalidSetting
from outbox.operations.roles import Role

Network = IPv4Network | IPv6Network
_NAME = re.compile(r"[\w.@+ -]{1,64}")


@dataclass(frozen=True, slots=True)
class Proxy:
    """Whose headers are believed, and which.

    `X-Forwarded-For` and `X-Forwarded-Proto` are read from a trusted proxy. Without `user_header`
    it does not log anybody in. Without `role_header` everybody whom it names is a viewer.
    """

    trusted: Sequence[Network] = ()
    user_header: str | None = None
    role_header: str | None = None

    @classmethod
    def of(
        cls, trusted: str | None, user_header: str | None = None, role_header: str | None = None
    ) -> Proxy:
        """From settings: addresses or networks, separated by commas. Raises `InvalidSetting`."""
        try:
            given = [part.strip() for part in (trusted or "").split(",") if part.strip()]
            networks = [ip_network(part, strict=False) for part in given]
        except ValueError:
            raise InvalidSetting("trusted proxies", "are addresses or networks") from None
        if user_header and not networks:
            rule = "needs trusted proxies: anybody could send it otherwise"
            raise InvalidSetting("proxy user header", rule)
        if role_header and not user_header:
            raise InvalidSetting("proxy role header", "needs a proxy user header")
        names = [header.lower() if header else None for header in (user_header, role_header)]
        return cls(networks, *names)

    @property
    def logs_in(self) -> bool:
        """Whether it says who somebody is."""
        return self.user_header is not None

    def trusts(self, peer: str) -> bool:
        """Whether the other end of the connection is a trusted proxy."""
        try:
            address = ip_address(peer)
        except ValueError:
            return False
        return any(address in network for network in self.trusted)

    def address(self, peer: str, headers: Mapping[str, str]) -> str:
        """Who asks: the last address that a trusted proxy did not write of another one of them."""
        hops = [hop.strip() for hop in headers.get("x-forwarded-for", "").split(",") if hop.strip()]
        found = peer
        while hops and self.trusts(found):
            found = hops.pop()
        return found[:64]

    def is_secure(self, peer: str, headers: Mapping[str, str], scheme: str) -> bool:
        """Whether the browser came by https."""
        if self.trusts(peer) and "x-forwarded-proto" in headers:
            return headers["x-forwarded-proto"].strip().lower() == "https"
        return scheme == "https"

    def user(self, peer: str, headers: Mapping[str, str]) -> User | None:
        """Whom a trusted proxy names; None for an unknown role."""
        if self.user_header is None or not self.trusts(peer):
            return None
        name = headers.get(self.user_header, "").strip()
        if not _NAME.fullmatch(name):  # two headers are one with a comma
            return None
        if self.role_header is None:
            return User(name, Role.VIEWER)
        role = headers.get(self.role_header, "").strip().lower()
        return User(name, Role(role)) if role in set(Role) else None
