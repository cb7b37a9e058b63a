"""The environment of a command: the shell's variables win over those of `.env`."""

import os
import re
from collections.abc import Mapping
from pathlib import Path

from devstack.host.errors import Trouble

_LINE = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)")
_COMMENT = re.compile(r"\s+#.*$")
_ESCAPES = {"\\n": "\n", "\\t": "\t", '\\"': '"', "\\\\": "\\"}
_MAKE = {"MAKEFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "MFLAGS", "MAKE_TERMOUT", "MAKE_TERMERR"}


def _value(raw: str) -> str:
    """Quoted as in a shell: single quotes keep all, double quotes know four escapes."""
    if len(raw) >= 2 and raw[0] == "'" and (end := raw.find("'", 1)) > 0:
        return raw[1:end]
    if raw.startswith('"') and (found := re.match(r'"((?:\\.|[^"\\])*)"', raw)):
        return re.sub(r'\\[nt"\\]', lambda m: _ESCAPES[m.group()], found.group(1))
    return "" if raw.startswith("#") else _COMMENT.sub("", raw).rstrip()


def parse(text: str, name: str = ".env") -> dict[str, str]:
    """Raises Trouble with the number of the first line that is not NAME=value."""
    values: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        found = _LINE.fullmatch(stripped)
        if found is None:
            raise Trouble(f"{name} line {number} is not NAME=value: {stripped[:40]!r}", status=2)
        values[found.group(1)] = _value(found.group(2))
    return values


def read(checkout: Path, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment of this command and its processes. An empty shell variable does not win."""
    file = checkout / ".env"
    try:
        written = parse(file.read_text()) if file.is_file() else {}
    except (OSError, UnicodeDecodeError) as problem:
        raise Trouble(f"cannot read .env: {problem}", status=2) from problem
    given = {name: value for name, value in environ.items() if value or name not in written}
    return without_make({**written, **given})


def without_make(environ: Mapping[str, str]) -> dict[str, str]:
    """Drop the variables that only the Makefile needs."""
    own = str(Path(__file__).resolve().parents[2])
    kept = {name: value for name, value in environ.items() if name not in _MAKE}
    paths = [path for path in kept.pop("PYTHONPATH", "").split(os.pathsep) if path]
    others = [path for path in paths if str(Path(path).resolve()) != own]
    return {**kept, "PYTHONPATH": os.pathsep.join(others)} if others else kept


def number(environ: Mapping[str, str], name: str, default: int) -> int:
    """A TCP port from the environment."""
    raw = environ.get(name, "").strip()
    if not raw:
        return default
    if not raw.isdecimal() or not 1 <= int(raw) <= 65535:
        raise Trouble(f"{name}={raw} is not a port: set it to a number from 1 to 65535", status=2)
    return int(raw)
