"""The token with which a developer calls the HTTP operations of a system on this machine.

It is made once, in a file that only this user can read. The services know its hash only.
"""

import secrets
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

from devstack.host.layout import Layout, put_private

VARIABLE = "OPERATIONS_TOKENS"


def file_of(layout: Layout) -> Path:
    return layout.home / "operations-token"


def variables(layout: Layout, env: Mapping[str, str]) -> dict[str, str]:
    """What the services are told: nothing in production, or if the user has set tokens."""
    given = env.get(VARIABLE) or env.get(f"{VARIABLE}_FILE")
    if given or env.get("APP_ENV") == "production":
        return {}
    file = file_of(layout)
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        put_private(file, secrets.token_urlsafe(32) + "\n")
    digest = sha256(file.read_text().strip().encode()).hexdigest()
    return {VARIABLE: f"developer:operator:{digest}"}


def lines(layout: Layout, env: Mapping[str, str], urls: Mapping[str, str]) -> list[str]:
    """What `make start` says of it; nothing if there is none."""
    workers = [url for name, url in urls.items() if name.endswith("-worker")]
    if not variables(layout, env) or not workers:
        return []
    addresses = ", ".join(f"{url}/ops/v1" for url in workers)
    return [f"  HTTP operations    {addresses}   token in {file_of(layout)}", ""]
