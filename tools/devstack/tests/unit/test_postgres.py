from pathlib import Path

import pytest

from devstack.host.errors import Trouble
from devstack.host.layout import CHECKOUT, Layout
from devstack.native.postgres import Postgres


def test_data_of_another_major_version_are_left_alone_and_told_of(tmp_path: Path) -> None:
    layout = Layout(CHECKOUT, tmp_path / "home")
    layout.prepare()
    postgres = Postgres(layout, 20000)
    postgres.data.mkdir(parents=True)
    (postgres.data / "PG_VERSION").write_text("9\n")
    with pytest.raises(Trouble, match=r"is of PostgreSQL 9, and venv/ has \d+: .*make clean"):
        postgres.prepare()
    assert [file.name for file in postgres.data.iterdir()] == ["PG_VERSION"]
