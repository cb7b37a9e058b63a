"""The token for the HTTP operations of a system on this machine."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest

from devstack.host import operations_token
from devstack.host.layout import Layout


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    made = Layout(tmp_path, tmp_path / "home")
    made.prepare()
    return made


def test_it_is_made_once_for_this_user_only_and_services_get_its_hash(layout: Layout) -> None:
    told = operations_token.variables(layout, {})
    file = operations_token.file_of(layout)
    assert file.stat().st_mode & 0o777 == 0o600
    token = file.read_text().strip()
    assert len(token) > 40
    assert told == {"OPERATIONS_TOKENS": f"developer:operator:{sha256(token.encode()).hexdigest()}"}
    assert operations_token.variables(layout, {}) == told
    [line, _] = operations_token.lines(layout, {}, {"orders-worker": "http://127.0.0.1:8010"})
    assert "http://127.0.0.1:8010/ops/v1" in line
    assert str(file) in line


@pytest.mark.parametrize(
    "env",
    [
        {"OPERATIONS_TOKENS": "mine"},
        {"OPERATIONS_TOKENS_FILE": "/mine"},
        {"APP_ENV": "production"},
    ],
)
def test_none_is_made_in_production_or_beside_the_users_own(
    layout: Layout, env: dict[str, str]
) -> None:
    assert operations_token.variables(layout, env) == {}
    assert operations_token.lines(layout, env, {"orders-worker": "http://127.0.0.1:8010"}) == []
    assert not operations_token.file_of(layout).exists()
