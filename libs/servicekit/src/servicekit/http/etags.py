"""Entity tags made of a version number, and the two headers that name them (RFC 9110, section 13).

ETag: "7"    If-None-Match: "7", W/"6"    If-Match: *
"""

import re

__all__ = ["etag", "if_match", "if_none_match"]

_TAG = re.compile(r'(W/)?"([^"]*)"')


def etag(version: int) -> str:
    """Return the strong entity tag of a version."""
    return f'"{version}"'


def if_none_match(header: str | None, version: int) -> bool:
    """Whether the caller has this version already: 304. Weak tags count (section 13.1.2)."""
    return header is not None and _names(header, version, weak=True)


def if_match(header: str | None, version: int) -> bool:
    """Whether the caller means this version, or any; false is 412. Weak tags do not count."""
    return header is None or _names(header, version, weak=False)


def _names(header: str, version: int, *, weak: bool) -> bool:
    if header.strip() == "*":
        return True
    tags = _TAG.findall(header)
    return any(tag == str(version) and (weak or not prefix) for prefix, tag in tags)
