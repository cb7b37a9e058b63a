"""The address of a request: path and query are UTF-8 without NUL, a last slash does not count."""

from urllib.parse import unquote_to_bytes

from starlette.types import Scope

from servicekit.http.exception_handlers import validation_failed

__all__ = ["drop_last_slash", "refuse_unreadable"]


def refuse_unreadable(scope: Scope) -> None:
    """Raise Problem 422 for a path or query that has NUL bytes or is not UTF-8."""
    path = scope.get("raw_path") or scope["path"].encode()
    for field, text in (("path", path), ("query", scope["query_string"])):
        if text and (message := _refusal_of_octets(text)):
            raise validation_failed([{"field": field, "message": message}])


def drop_last_slash(scope: Scope) -> None:
    """Make the path what the route is called."""
    path: str = scope["path"]
    if len(path) > 1 and path[-1] == "/" and _sent_with_slash(scope):
        scope["path"] = path[:-1]


def _refusal_of_octets(text: bytes) -> str | None:
    """Why this part of an address cannot be read, once it is percent-decoded."""
    octets = unquote_to_bytes(text) if b"%" in text else text
    if b"\x00" in octets:
        return "NUL bytes are not allowed."
    if not octets.isascii():
        try:
            octets.decode("utf-8")
        except UnicodeDecodeError:
            return "This is not UTF-8."
    return None


def _sent_with_slash(scope: Scope) -> bool:
    """Whether the last slash is the path's own, and not the end of an id (`%2F`)."""
    raw: bytes | None = scope.get("raw_path")  # see decision 0850
    return raw is None or raw.partition(b"?")[0].endswith(b"/")
