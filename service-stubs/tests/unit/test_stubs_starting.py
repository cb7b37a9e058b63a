"""How the stand-ins start, and where they refuse to."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_production_has_no_stand_ins(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "service_stubs", "api"],
        env={"APP_ENV": "production", "STUBS_LEDGER": str(tmp_path / "l")},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("service-stubs: stand-ins for external systems are not for")
    assert "EXTERNAL_BASE_URL" in done.stderr
    assert not (tmp_path / "l").exists()
