"""How large a body may be, and how large the bodies of all unfinished requests together."""

from collections.abc import Iterable

from servicekit.http.large_body_queue import LARGE
from servicekit.http.problems import BodyTooLarge, Overloaded

__all__ = ["BodyLimit"]

MAX_BODY = 1024 * 1024
MAX_HELD = 32 * MAX_BODY


class BodyLimit:
    """413 for a body over `limit` bytes: at once when it is announced, else when it is exceeded.

    503 for a large one while the bodies of all unfinished requests have over `held` bytes.
    """

    # The framework's own limit knows one request only, and answers in plain text.
    # see decision 1411

    def __init__(self, limit: int = MAX_BODY, held: int = MAX_HELD) -> None:
        self._limit = limit
        self._held = held
        self._holds = 0

    def refuse_announced(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Raise BodyTooLarge if the `Content-Length` is over the limit."""
        for name, value in headers:
            if name == b"content-length":
                # The server has checked that it is a number (RFC 9112, section 6.3).
                if len(value) > 15 or (value.isdigit() and int(value) > self._limit):
                    raise BodyTooLarge(self._limit)
                return

    def count(self, size: int, read: int) -> None:
        """Count so many more bytes of a request, of which `read` have come by now.

        Raises BodyTooLarge or Overloaded.
        """
        self._holds += size
        if read > self._limit:
            raise BodyTooLarge(self._limit)
        if read > LARGE and self._holds > self._held:
            raise Overloaded

    def forget(self, read: int) -> None:
        """Count no longer the `read` bytes of a request that has ended."""
        self._holds -= read
