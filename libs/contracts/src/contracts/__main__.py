"""`make contracts` writes the files that follow from the contracts.

They are a golden sample for each event that has none yet, and the AsyncAPI document. A golden
sample that exists is a promise and never changes: if one would, nothing at all is written.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from contracts import SAMPLES, Contract
from contracts.asyncapi import document

CHECKOUT = Path(__file__).parents[4]
GOLDEN = CHECKOUT / "libs/contracts/tests/golden"
ASYNCAPI = CHECKOUT / "docs/asyncapi.yaml"  # JSON is valid YAML


def golden_of(sample: Contract) -> Path:
    """The file of the sample's type and version."""
    return GOLDEN / f"{sample.type}.v{sample.version}.json"


def check_published() -> None:
    """Exit if an event would be written differently from its golden sample."""
    for sample in SAMPLES:
        golden = golden_of(sample)
        if golden.exists() and json.loads(golden.read_bytes()) != json.loads(sample.payload()):
            name = type(sample).__name__
            sys.exit(
                f"{golden.relative_to(CHECKOUT)} never changes, and the sample of {name} is written"
                f" differently: restore both, or make a new version of the event"
                f" ({name}.version = {sample.version + 1})"
            )


def write() -> list[Path]:
    """Write missing golden samples and the document. Returns the files that are new or changed."""
    texts = {golden_of(sample): _text(json.loads(sample.payload())) for sample in SAMPLES}
    changed = {path: text for path, text in texts.items() if not path.exists()}
    described = _text(document())
    if not ASYNCAPI.exists() or ASYNCAPI.read_text() != described:
        changed[ASYNCAPI] = described
    for path, text in changed.items():
        path.write_text(text)
    return list(changed)


def _text(body: object) -> str:
    return json.dumps(body, indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    """Write, and print the name of each file that was written."""
    if not GOLDEN.is_dir():
        sys.exit(f"{GOLDEN} does not exist: run `make contracts` in a checkout")
    check_published()
    written = [f"wrote {path.relative_to(CHECKOUT)}" for path in write()]
    print("\n".join(written or ["nothing to write: every file is up to date"]))  # noqa: T201


if __name__ == "__main__":
    main()
