"""The one MetaData of this service's database."""

from __future__ import annotations

from sqlalchemy import MetaData

from outbox import Outbox, declare_inbox
from outbox.jobs import declare_jobs
from service_processor import NAME
from servicekit.http.idempotency_keys import declare_idempotency_keys

metadata = MetaData(
    naming_convention={
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ck": "%(table_name)s_%(constraint_name)s_check",
        "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
        "pk": "%(table_name)s_pkey",
    }
)
outbox = Outbox(NAME, metadata, parts={"restaurant": ["table"]})
declare_inbox(metadata)
declare_jobs(metadata)
declare_idempotency_keys(metadata)
