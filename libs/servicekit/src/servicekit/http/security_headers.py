"""Headers of every answer: a browser guesses no type from it, and shows it in no frame."""

from starlette.types import Message

__all__ = ["SECURITY_HEADERS", "add_security_headers"]

# OWASP REST Security Cheat Sheet, "Security Headers"; JSON needs nothing from anywhere.
SECURITY_HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
}
_RAW = [(name.encode(), value.encode()) for name, value in SECURITY_HEADERS.items()]


def add_security_headers(start: Message) -> None:
    """Add them all to an answer's start; a page that sets one of them itself keeps its own."""
    headers = list(start.get("headers", ()))
    own = {name for name, _ in headers}
    headers += [header for header in _RAW if header[0] not in own]
    start["headers"] = headers
