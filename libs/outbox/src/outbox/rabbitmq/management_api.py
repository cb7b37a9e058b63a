"""RabbitMQ's management API: queues, bindings, consumers and alarms, more than AMQP tells."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.error import URLError
from urllib.parse import quote
from urllib.request import Request, urlopen

from yarl import URL

from outbox.addresses import Broker, BrokerAddress

TIMEOUT = 5.0


class ManagementFailed(Exception):
    """The management API did not answer as expected."""


class Management:
    """One virtual host, through `http://user:password@host:15672`."""

    def __init__(self, url: str, broker_url: Broker) -> None:
        """Raises `ManagementFailed` if `url` is wrong, `InvalidSetting` if `broker_url` is."""
        broker = BrokerAddress.of(broker_url)
        parts = _parts(url)
        self._base = f"{parts.scheme}://{parts.host}:{parts.explicit_port or 15672}"
        password = parts.password or broker.url.password or "guest"
        login = f"{parts.user or broker.user}:{password}".encode()
        self._authorization = "Basic " + base64.b64encode(login).decode()
        self._vhost = quote(broker.vhost, safe="")

    def bindings(self, *, to: str = "queue") -> set[tuple[str, str, str]]:
        """(exchange, queue, routing key) of every binding to a queue, or to an "exchange"."""
        return {
            (binding["source"], binding["destination"], binding["routing_key"])
            for binding in self._get(f"/api/bindings/{self._vhost}")
            if binding["destination_type"] == to
        }

    def consumer_tags(self) -> list[tuple[str, str]]:
        """(queue, consumer tag) of every consumer."""
        return [
            (consumer["queue"]["name"], consumer["consumer_tag"])
            for consumer in self._get(f"/api/consumers/{self._vhost}")
        ]

    def queues(self) -> dict[str, dict[str, Any]]:
        """What the API says of every queue, by name."""
        return {queue["name"]: queue for queue in self._get(f"/api/queues/{self._vhost}")}

    def consumer_timeout(self, queue: str) -> float | None:
        """In seconds, if a policy sets it for this queue (RabbitMQ 3.12 and newer)."""
        found = self._get(f"/api/queues/{self._vhost}/{quote(queue, safe='')}")
        policy = found.get("effective_policy_definition") or {}  # an empty one is a list in 3.10
        milliseconds = policy.get("consumer-timeout") if isinstance(policy, dict) else None
        return milliseconds / 1000 if milliseconds else None

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


def _parts(url: str) -> URL:
    """The parts of the URL. The error does not quote it, because it holds a password."""
    try:
        parts = URL(url)
    except ValueError:
        parts = URL()
    if parts.scheme not in ("http", "https") or not parts.host or "@" in parts.raw_path_qs:
        raise ManagementFailed("the management URL has to be http://user:password@host:15672")
    return parts
