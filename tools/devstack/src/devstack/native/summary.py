"""The end of `make start`: versions, URLs, and a command to paste."""

import json
import platform
from collections.abc import Mapping

from devstack.native import rabbitmq

ORDER = {
    "user_id": "user_1",
    "products": [
        {"product_id": "product_001", "quantity": 1},
        {"product_id": "product_002", "quantity": 19},
        {"product_id": "product_003", "quantity": 17},
    ],
    "amount": "140",
}


def curl(orders: str) -> str:
    body = json.dumps(ORDER, separators=(",", ":"))
    return (
        f"curl -X POST {orders}/api/v1/orders/new/ -H 'accept: application/json' "
        f"-H 'Content-Type: application/json' -d '{body}'"
    )


def lines(
    urls: Mapping[str, str],
    versions: Mapping[str, str],
    ports: Mapping[str, int],
    stack: str,
    *,
    login: str = f"{rabbitmq.ADMIN} / {rabbitmq.ADMIN_PASSWORD}",
    console_login: str = "",
) -> list[str]:
    found = {"Python": platform.python_version(), **versions}
    text = [
        "",
        f"{stack} stack: " + ", ".join(f"{name} {number}" for name, number in found.items()),
        "",
    ]
    for name in ("orders", "processor"):
        text += [
            f"  service-{name:<10} {urls[name]}/docs   metrics {urls[name]}/metrics"
            f"{_worker(urls, name)}"
        ]
    if "stubs" in urls:
        text += [f"  service-stubs      {urls['stubs']}/docs   external systems of rentals"]
    if "console" in urls:
        text += [f"  console            {urls['console']}   login {console_login}"]
    if "management" in urls:
        text += [f"  RabbitMQ           {urls['management']}   login {login}"]
    if "prometheus" in urls:
        text += [f"  Prometheus         {urls['prometheus']}   alarms {urls['prometheus']}/alerts"]
    if "grafana" in urls:
        text += [f"  Grafana            {urls['grafana']}/dashboards"]
    if "jaeger" in urls:
        text += [f"  Jaeger             {urls['jaeger']}   traces"]
    others = {name: ports[name] for name in ("postgres", "amqp", "redis") if name in ports}
    if others:
        text += ["  on 127.0.0.1       " + ", ".join(f"{name} {n}" for name, n in others.items())]
    return [*text, "", "Try it:", f"  {curl(urls['orders'])}", ""]


def _worker(urls: Mapping[str, str], name: str) -> str:
    worker = urls.get(f"{name}-worker")
    return f"   worker {worker}/metrics" if worker else ""
