"""`make migration` writes a migration from the tables in the code.

Alembic compares them with a database that the migrations so far have made from nothing, on a
PostgreSQL that lives as long as this command. So it needs nothing that runs, disturbs nothing that
does, and does not care what a running system's database holds.
"""

import re
from datetime import UTC, datetime
from pathlib import Path

from devstack.host.console import say
from devstack.host.errors import Trouble
from devstack.host.layout import Layout
from devstack.host.locking import exclusive
from devstack.native import migrations
from devstack.native.infrastructure import Wanted
from devstack.native.services import Service
from devstack.native.system import System

LONGEST = 90  # characters of a sentence; it stands in one line of the file
_WANTED = Wanted(postgres=True, rabbitmq=False, redis=False)
# The settings require a broker, but migrations never connect to it.
_NO_BROKER = {"RABBITMQ_URL": "amqp://nobody:nothing@127.0.0.1:5672/%2F"}
_ARTICLES = {"a", "an", "the", "their", "its"}
_LINKS = {
    "add",
    "and",
    "are",
    "at",
    "by",
    "for",
    "from",
    "get",
    "has",
    "have",
    "in",
    "is",
    "of",
    "to",
}
_SMALL = _ARTICLES | _LINKS


def run(layout: Layout, service: Service, message: str) -> Path:
    """Write the file and return its path; Trouble if the tables and the migrations agree."""
    sentence = _sentence(message)
    file = path_of(layout, service, sentence)
    if file.exists():
        raise Trouble(f"{file.name} exists: say in other words what the migration does", status=2)
    with exclusive(layout):
        _compare(layout, service, sentence).rename(file)
    say(f"{file.relative_to(layout.checkout)} is written; read it before you commit it")
    return file


def path_of(layout: Layout, service: Service, sentence: str) -> Path:
    """The file of a migration that is written today."""
    folder = layout.checkout / service.folder / "migrations" / "versions"
    return folder / f"{datetime.now(UTC):%Y%m%d}_{short_name(sentence)}.py"


def short_name(sentence: str) -> str:
    """`parcels` for "Add the parcels and their history.": the first words that say what."""
    words: list[str] = []
    for word in re.findall(r"\w+|[^\w\s]", sentence.lower()):
        if word not in _SMALL and word.isidentifier() and len(words) < 3:
            words.append(word)
        elif words:
            break
    if not words:
        raise Trouble(f"M={sentence} does not say what the migration does", status=2)
    return "_".join(words)


def _sentence(message: str) -> str:
    """The docstring of the migration."""
    words = " ".join(message.split()).rstrip(".")
    if not words:
        raise Trouble('say what it does: make migration SERVICE=orders M="add a column"', status=2)
    if len(words) > LONGEST or "\\" in words or '"' in words:
        raise Trouble(f"M is a sentence of at most {LONGEST} characters, without quotes", status=2)
    return f"{words[0].upper()}{words[1:]}."


def _compare(layout: Layout, service: Service, sentence: str) -> Path:
    scratch = Layout(layout.checkout, layout.home / "migration")
    system = System(scratch, wanted=_WANTED, with_services=False, durable=False)
    system.destroy()  # what a killed command left
    say("a PostgreSQL for this command alone is migrated and compared with the tables in the code")
    with system:
        environments = {name: {**_NO_BROKER, **env} for name, env in system.environment.items()}
        migrations.run(layout, environments, [service])
        found = migrations.revise(layout, service, environments[service.name], sentence)
    if found is None:
        raise Trouble(
            f"the tables of {service.folder} and its migrations agree, so none is written; does a"
            " new domain stand in domains/__init__.py?"
        )
    keep_declared_tables(layout, service, found)
    return found


def keep_declared_tables(layout: Layout, service: Service, migration: Path) -> None:
    """Delete a migration that drops what a domain declares. Raises `Trouble` for it."""
    upgrade = migration.read_text().partition("def downgrade")[0]
    dropped = set(re.findall(r'drop_table\("(\w+)"', upgrade))
    for models in sorted((layout.checkout / service.folder).glob("src/*/domains/*/models.py")):
        declared = set(re.findall(r'"(\w+)"', models.read_text()))
        if lost := sorted(dropped & declared):
            migration.unlink()
            raise Trouble(
                f"the migration would drop {', '.join(lost)}, which"
                f" {models.relative_to(layout.checkout)} declares, so none is written; does the"
                " domain stand in domains/__init__.py?"
            )
