"""The bucket of an aggregate. Never change this: two owners would publish one stream."""

from __future__ import annotations

from hashlib import blake2b

BUCKETS = 1024


def bucket_of(aggregate_type: str, aggregate_id: str) -> int:
    """A stable number from 0 to 1023, the same in every process and release."""
    digest = blake2b(f"{aggregate_type}\0{aggregate_id}".encode(), digest_size=2).digest()
    return int.from_bytes(digest, "big") % BUCKETS
