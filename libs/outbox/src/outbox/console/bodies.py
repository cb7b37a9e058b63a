"""Bodies of events as a page shows them: on several lines, cut where they are long.

Invariant: nothing of a body is read as a value and written again, so a number keeps its digits and
a key that stands there twice stays there twice. A body of any depth costs no more than its length.
"""

from __future__ import annotations

import re

from outbox.errors import InvalidEvent
from outbox.log.event_checks import checked_body

SHOWN = 64 * 1024
"""So many characters of a body are shown; a longer one is neither cut into lines."""
DEEPEST = 8
"""What is nested deeper is not indented further, so a page is never much larger than the body."""

_PIECES = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+')


def shown(body: bytes) -> str:
    """For reading. Bytes that are no text are escaped."""
    text = editable(body) or body.decode("utf-8", "backslashreplace")
    left = len(text) - SHOWN
    return text if left <= 0 else f"{text[:SHOWN]}\n… and {left:,} characters more"


def editable(body: bytes) -> str | None:
    """For a form: as it is, on several lines if it is short JSON. None for what is no text."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return None
    return _on_lines(text) if len(text) <= SHOWN and not why_no_body(text) else text


def why_no_body(text: str) -> str:
    """Why an event cannot have this body; empty if it can."""
    try:
        checked_body(text.encode("utf-8", "surrogatepass"))
    except InvalidEvent as problem:
        return str(problem)
    return ""


def _on_lines(text: str) -> str:
    """JSON with a line for each member."""
    made, depth, before = list[str](), 0, ""
    for piece in _PIECES.findall(text):
        if piece in "]}":
            depth -= 1
            made += [] if before in ("[", "{") else ["\n", _indent(depth)]
        elif before in ("[", "{", ","):
            made += ["\n", _indent(depth)]
        made.append(": " if piece == ":" else piece)
        depth += piece in ("[", "{")
        before = piece
    return "".join(made)


def _indent(depth: int) -> str:
    return "  " * min(depth, DEEPEST)
