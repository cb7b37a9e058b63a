"""What the servers are told and what the services are told fits; nobody reads it but the owner."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from devstack.docker import passwords
from devstack.host.errors import Trouble
from devstack.host.layout import CHECKOUT
from devstack.native import rabbitmq


def _without_hashes(name: str, text: str) -> Any:
    """Salted by chance; that they fit is tested below."""
    if name != "rabbitmq_definitions.json":
        return text
    definitions = json.loads(text)
    for user in definitions["users"]:
        del user["password_hash"]
    return definitions


def test_the_files_of_development_are_those_that_would_be_made() -> None:
    made = passwords.files("{}-dev-only".format)
    there = {file.name: file.read_text() for file in (CHECKOUT / passwords.DEVELOPMENT).iterdir()}
    assert there.keys() == made.keys()
    for name, text in made.items():
        assert _without_hashes(name, there[name]) == _without_hashes(name, text)


@pytest.mark.parametrize("folder", ["development", "own"])
def test_rabbitmq_knows_the_passwords_that_the_services_are_told(
    folder: str, tmp_path: Path
) -> None:
    place = CHECKOUT / passwords.DEVELOPMENT
    if folder == "own":
        place = passwords.make(CHECKOUT, {passwords.VARIABLE: str(tmp_path / "own")})
    told = {
        name: (place / f"rabbitmq_url_{name}").read_text().split(":")[2].partition("@")[0]
        for name in ("orders", "processor")
    }
    told["admin"] = (place / "rabbitmq_admin_password").read_text().strip()
    told["console"] = (place / "console_management").read_text().split(":")[2].partition("@")[0]
    users = json.loads((place / "rabbitmq_definitions.json").read_text())["users"]
    for user in users:
        salt = base64.b64decode(user["password_hash"])[:4]
        assert rabbitmq.hashed(told[user["name"]], salt) == user["password_hash"]


def test_ones_own_are_all_different_and_in_a_closed_folder(tmp_path: Path) -> None:
    place = passwords.make(CHECKOUT, {passwords.VARIABLE: str(tmp_path / "own")})
    assert place.stat().st_mode & 0o077 == 0
    logins = [
        file.read_text().split("://")[1].partition("@")[0].partition(":")[2]
        for file in place.glob("*_url_*")
    ]
    assert len(logins) == len(set(logins)) == 7
    assert min(map(len, logins)) > 12
    assert "dev-only" not in "".join(file.read_text() for file in place.iterdir())


def test_a_folder_that_is_there_is_left_alone(tmp_path: Path) -> None:
    with pytest.raises(Trouble, match="File exists"):
        passwords.make(CHECKOUT, {passwords.VARIABLE: str(tmp_path)})


def test_it_wants_to_be_told_where() -> None:
    with pytest.raises(Trouble, match="SECRETS_DIR=/a/new/folder make secrets"):
        passwords.make(CHECKOUT, {})
