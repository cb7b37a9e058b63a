"""What only RabbitMQ's management API tells: bindings and alarms."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.error import URLError
from urllib.parse import quote, unquote, urlsplit
from urllib.request import Request, urlopen

TIMEOUT = 5.0


class ManagementFailed(Exception):
    """The management API did not answer as expected."""


class Management:
    """One virtual host, through `http://user:password@host:15672`."""

    def __init__(self, url: str, broker_url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https"):
            raise ManagementFailed("the management URL has to begin with http:// or https://")
        self._base = f"{parts.scheme}://{parts.hostname}:{parts.port or 15672}"
        broker = urlsplit(broker_url)
        user = parts.username or broker.username or "guest"
        password = parts.password or broker.password or "guest"
        login = f"{unquote(user)}:{unquote(password)}".encode()
        self._authorization = "Basic " + base64.b64encode(login).decode()
        # An AMQP URL without a path means the virtual host "/" (RabbitMQ, "URI Specification").
        self._vhost = quote(unquote(broker.path.removeprefix("/")) or "/", safe="")

    def bindings(self) -> set[tuple[str, str, str]]:
        """(exchange, queue, routing key) of every binding to a queue."""
        return {
            (binding["source"], binding["destination"], binding["routing_key"])
            for binding in self._get(f"/api/bindings/{self._vhost}")
            if binding["destination_type"] == "queue"
        }

    def alarms(self) -> list[str]:
        """Why publishers are blocked, node by node."""
        return [
            f"{node['name']} blocks publishers: {what} alarm"
            for node in self._get("/api/nodes")
            for what, key in (("memory", "mem_alarm"), ("disk", "disk_free_alarm"))
            if node.get(key)
        ]

    def _get(self, path: str) -> Any:
        headers = {"Authorization": self._authorization}
        request = Request(self._base + path, headers=headers)  # noqa: S310 http(s), see above
        try:
            with urlopen(request, timeout=TIMEOUT) as answer:  # noqa: S310
                return json.load(answer)
        except (URLError, OSError, ValueError) as problem:
            raise ManagementFailed(f"the management API does not answer: {problem}") from problem
