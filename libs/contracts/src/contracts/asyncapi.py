"""The AsyncAPI 3 document of all events; `make contracts` writes it to `docs/asyncapi.yaml`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from contracts import EVENTS, EXCHANGES, SAMPLES, SUBSCRIPTIONS, Contract, Subscription, events_of


def document() -> dict[str, Any]:
    """The whole document: a channel per exchange, a message per event type."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Events of service-orders and service-processor",
            "version": "1.0.0",
            "description": "CloudEvents 1.0 in AMQP binary mode; the routing key is the type.",
        },
        "defaultContentType": "application/json",
        "channels": {exchange.name: _channel(*exchange) for exchange in EXCHANGES},
        "operations": {f"publish_{exchange.name}": _publish(*exchange) for exchange in EXCHANGES}
        | {f"consume_{s.queue}_{'_'.join(s.aggregate_types)}": _consume(s) for s in SUBSCRIPTIONS},
        "components": {"messages": {sample.type: _message(sample) for sample in SAMPLES}},
    }


def _channel(source: str, exchange: str) -> dict[str, Any]:
    return {
        "address": exchange,
        "title": f"The events of {source}",
        "messages": {
            event.type: _reference(event) for event in EVENTS if source in event.sources()
        },
        "bindings": {
            "amqp": {
                "is": "routingKey",
                "exchange": {"name": exchange, "type": "topic", "durable": True},
            }
        },
    }


def _publish(source: str, exchange: str) -> dict[str, Any]:
    return {
        "action": "send",
        "channel": {"$ref": f"#/channels/{exchange}"},
        "summary": f"{source} publishes through its outbox.",
    }


def _consume(subscription: Subscription) -> dict[str, Any]:
    types = ", ".join(subscription.aggregate_types)
    return {
        "action": "receive",
        "channel": {"$ref": f"#/channels/{subscription.exchange}"},
        "summary": f"{subscription.queue} receives every event of {types}.",
        "messages": [
            {"$ref": f"#/channels/{subscription.exchange}/messages/{event.type}"}
            for event in events_of(subscription)
        ],
    }


def _reference(event: type[Contract]) -> dict[str, str]:
    return {"$ref": f"#/components/messages/{event.type}"}


def _message(sample: Contract) -> dict[str, Any]:
    event = type(sample)
    return {
        "name": event.type,
        "title": event.__name__,
        "summary": (event.__doc__ or "").strip(),
        "contentType": "application/json",
        "headers": _headers(event),
        "payload": _inlined(event.model_json_schema(mode="serialization")),
        "examples": [{"payload": sample.model_dump(mode="json")}],
    }


def _headers(event: type[Contract]) -> dict[str, Any]:
    text, number = {"type": "string"}, {"type": "integer", "minimum": 1}
    return {
        "type": "object",
        "required": ["cloudEvents:id", "cloudEvents:source", "cloudEvents:subject", "sequence"],
        "properties": {
            "cloudEvents:specversion": {"const": "1.0"},
            "cloudEvents:id": {**text, "format": "uuid"},
            "cloudEvents:source": _one_of(event.sources()),
            "cloudEvents:type": {"const": event.type},
            "cloudEvents:time": {**text, "format": "date-time"},
            "cloudEvents:subject": {**text, "description": "The id of the aggregate."},
            "aggregate_type": {"const": event.aggregate_type},
            "sequence": {**number, "description": "1, 2, 3 … within the aggregate."},
            "version": {"const": event.version},
            "causation_id": {**text, "description": "The id of the event that caused this one."},
            "traceparent": {**text, "description": "W3C Trace Context."},
        },
    }


def _one_of(values: Sequence[str]) -> dict[str, Any]:
    return {"enum": list(values)} if len(values) > 1 else {"const": values[0]}


def _inlined(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema without `$defs`: its references would not resolve inside this document."""
    definitions = schema.pop("$defs", {})

    def resolve(node: Any) -> Any:
        if isinstance(node, dict):
            if "$ref" in node:
                return resolve(definitions[node["$ref"].rpartition("/")[2]])
            return {key: resolve(value) for key, value in node.items()}
        return [resolve(item) for item in node] if isinstance(node, list) else node

    resolved: dict[str, Any] = resolve(schema)
    return resolved
