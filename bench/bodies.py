"""Bodies made to be dear, and what reading each costs: `python -m bench.bodies`.

Needs nothing but servicekit's reader, so that it runs on any Python that has jiter:
PYTHONPATH=.:libs/servicekit/src python3.13 -m bench.bodies
"""

from __future__ import annotations

import sys
import time
import tracemalloc
from collections.abc import Mapping

from servicekit.http import strict_json

MIB = 1024 * 1024
VALUES = strict_json.MAX_VALUES
EACH = MIB // VALUES
ROUNDS = 5


def _filled(begin: bytes, unit: bytes, end: bytes = b"", size: int = MIB) -> bytes:
    return begin + unit * ((size - len(begin) - len(end)) // len(unit)) + end


def _listed(unit: bytes, count: int) -> bytes:
    return b"[" + b",".join([unit] * count) + b"]"


PLAIN = _filled(b'"', b"x", b'"')
"""What the others are compared with: as long, and one value."""

# As many as are read, or as long as a body may be.
TAKEN: Mapping[str, bytes] = {
    "blanks": _filled(b"", b" ", b"1"),
    "escapes": _filled(b'"', b"\\u00e9", b'"'),
    "escapes in pairs": _filled(b'"', b"\\ud83d\\ude00", b'"'),
    "escaped quotes": _filled(b'"', b'\\"', b'"'),
    "escaped backslashes": _filled(b'"', b"\\\\", b'"'),
    "one wide character": '"😀'.encode() + b"x" * (MIB - 6) + b'"',
    "one long fraction": b"0." + b"1" * (MIB - 2),
    "many fractions": _listed(b"1.23456789012345", VALUES - 1),
    "long fractions that are looked at": _listed(b"1." + b"1" * (EACH - 3), VALUES - 1),
    "long numbers that are looked at": _listed(b"9223372036854775807", VALUES - 1),
    "many strings": _listed(b'"' + b"x" * (EACH - 3) + b'"', VALUES - 1),
    "many keys": b"{"
    + b",".join(b'"%s":1' % (b"%d" % n).rjust(90, b"k") for n in range(VALUES - 1))
    + b"}",
    "many objects": _listed(b'{"a":[]}', VALUES // 3 - 1),
    "deep and wide": _listed(b"[" * 190 + b"]" * 190, VALUES // 191 - 1),
    "a comb": b"[" * 190 + b"0," * (VALUES - 191) + b"0" + b"]" * 190,
}
REFUSED: Mapping[str, bytes] = {
    "the bomb": b'["\\u0041",' + b"[" * 900 + b"0," * 100_000 + b"0" + b"]" * 900 + b"]",
    "the bomb, deeper": b'["\\u0041",' + b"[" * 9_993 + b"0," * 100 + b"0" + b"]" * 9_993 + b"]",
    "the bomb within all limits": b'["\\u0000",' + b"[" * 190 + b"0," * 9_000 + b"0" + b"]" * 191,
    "no end of arrays": b"[" * MIB,
    "arrays in arrays": _filled(b"[", b"[" * 900 + b"]" * 900 + b",", b"0]"),
    "empty objects": _filled(b'["\\u0041",', b"{},", b"{}]"),
    "empty strings": _filled(b"[", b'"",', b'""]'),
    "quotes": b'"' * MIB,
    "small numbers": _filled(b"[", b"0,", b"0]"),
    "small fractions": _filled(b"[", b"1.1,", b"1.1]"),
    "a long number": b"1" * MIB,
    "long numbers": _filled(b"[", b"1" * 4_299 + b",", b"1]"),
    "huge exponents": _listed(b"1e9999999999", VALUES - 1),
    "NULs": _filled(b'"', b"\\u0000", b'"'),
    "a NUL after many numbers": b"[" + b"0," * (VALUES - 2) + b'"\\u0000"]',
    "a NUL in the last of many": b"[" + b'"x",' * (VALUES - 2) + b'"\\u0000"]',
    "a NUL under many long keys": b"{"
    + b",".join(b'"%040d":1' % n for n in range(VALUES - 2))
    + b',"":"\\u0000"}',
    "half a pair": _filled(b'"', b"\\ud83d\\ude00", b'\\ud83d"'),
    "one name twice": b'{"a":1,'
    + b",".join(b'"%040d":1' % n for n in range(VALUES - 3))
    + b',"a":1}',
    "no UTF-8": _filled(b'"', b"x", b'\xff"'),
}
MANY_VALUES_IN_FEW_BYTES = b'["\\u0000",' + b"0," * 8_000 + b"0]"
"""Short enough to be small, and dear."""
BODIES = {"plain": PLAIN, "many values in few bytes": MANY_VALUES_IN_FEW_BYTES, **TAKEN, **REFUSED}


def seconds(body: bytes) -> float:
    """The shortest of some readings, in CPU time of this process."""
    return min(_once(body) for _ in range(ROUNDS))


def _once(body: bytes) -> float:
    began = time.process_time()
    read(body)
    return time.process_time() - began


def read(body: bytes) -> str:
    """What becomes of it, in a word or a sentence."""
    try:
        strict_json.parse(body)
    except (strict_json.MalformedJson, strict_json.RefusedValue) as refused:
        return str(refused)
    return "taken"


def peak(body: bytes) -> int:
    """Bytes that reading it takes at most, the body itself left out."""
    tracemalloc.start()
    try:
        read(body)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def main() -> None:
    print(f"Python {sys.version.split()[0]}; a body's bytes, CPU time and memory to read it")
    for name, body in BODIES.items():
        cost = f"{seconds(body) * 1000:8.1f} ms {peak(body) / 1e6:6.1f} MB"
        print(f"{name:34} {len(body):9,} {cost}  {read(body)[:60]}")


if __name__ == "__main__":
    main()
