"""Headers of every answer: a browser guesses no type from it, and shows it in no frame."""

from starlette.datastructures import MutableHeaders
from starlette.types import Message, Send

__all__ = ["SECURITY_HEADERS", "with_security_headers"]

# OWASP REST Security Cheat Sheet, "Security Headers"; JSON needs nothing from anywhere.
SECURITY_HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
}


def with_security_headers(send: Send) -> Send:
    """Add them all to the answer; a page that sets one of them itself keeps its own."""

    async def secured(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in SECURITY_HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return secured
