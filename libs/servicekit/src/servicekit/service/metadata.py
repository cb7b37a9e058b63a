"""The MetaData of a service's database, with the tables that every service has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import MetaData

from outbox import Outbox, declare_inbox
from servicekit.http.idempotency_keys import declare_idempotency_keys

NAMES = {
    "ix": "%(table_name)s_%(column_0_N_name)s_idx",
    "uq": "%(table_name)s_%(column_0_N_name)s_key",
    "ck": "%(table_name)s_%(constraint_name)s_check",
    "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
    "pk": "%(table_name)s_pkey",
}
"""Names of constraints and indexes: those that PostgreSQL itself would choose."""


def declare_service(
    name: str, *, parts: Mapping[str, Sequence[str]] | None = None
) -> tuple[MetaData, Outbox]:
    """Declare the outbox, the inbox and the idempotency keys of the service `name`.

    `parts` is for `Outbox`: further first words of event types in streams of an aggregate.
    """
    metadata = MetaData(naming_convention=NAMES)
    outbox = Outbox(name, metadata, parts=parts)
    declare_inbox(metadata)
    declare_idempotency_keys(metadata)
    return metadata, outbox
