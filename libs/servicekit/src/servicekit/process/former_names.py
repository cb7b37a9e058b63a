"""Variables of the systems that this one replaces, each with the one that is read here instead.

They are common names, which an environment may hold for other programs: they stop no start. See
decision 1206.
"""

import os
from collections.abc import Mapping

__all__ = ["unread_variables"]

_DATABASES = "DATABASE_URL_ORDERS and DATABASE_URL_PROCESSOR"
_PORTS = "ORDERS_PORT and PROCESSOR_PORT"
_INSTEAD = {
    **dict.fromkeys(("DB_HOST", "DB_PORT", "DB_NAME", "DB_USER", "DB_PASS"), _DATABASES),
    **dict.fromkeys(("DB_SOCKET", "DATABASE_URL", "DATABASE_DSN", "DATABASE_HOST"), _DATABASES),
    **dict.fromkeys(("POSTGRES_HOST", "POSTGRES_DB", "POSTGRES_USER"), _DATABASES),
    **dict.fromkeys(("RABBIT_HOST", "RABBIT_PORT", "RABBIT_USER", "RABBIT_PASS"), "RABBITMQ_URL"),
    **dict.fromkeys(("RABBIT_PASSWORD", "KAFKA_BOOTSTRAP_SERVERS", "KAFKA_BROKER"), "RABBITMQ_URL"),
    **dict.fromkeys(("REDIS_HOST", "REDIS_PORT", "REDIS_SOCKET"), "REDIS_URL"),
    **dict.fromkeys(("API_HOST", "SERVER_HOST"), "HTTP_HOST"),
    **dict.fromkeys(("API_PORT", "SERVER_PORT"), _PORTS),
    **dict.fromkeys(("OUTBOX_BATCH_SIZE", "OUTBOX_POLL_INTERVAL", "OUTBOX_MAX_RETRIES"), ""),
    **dict.fromkeys(("MAX_RETRY_ATTEMPTS", "RETRY_DELAY_BASE_SECONDS", "DLX_NAME", "DLQ_NAME"), ""),
}


def unread_variables(environment: Mapping[str, str] = os.environ) -> list[str]:
    """Return a sentence for each of them that is set."""
    return [
        f"{name} is not read here: " + (f"use {instead}" if instead else "nothing has to be set")
        for name, instead in _INSTEAD.items()
        # Kubernetes and Docker links set tcp://… for every service beside this one.
        if environment.get(name) and not environment[name].startswith("tcp://")
    ]
