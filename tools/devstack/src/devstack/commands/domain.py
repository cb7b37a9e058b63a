"""`make domain` writes the files of a new domain, from the templates in `tools/devstack/templates`.

They run and pass the checks as they are, and hold what can be known before the fields of the
domain are. Nothing that exists is overwritten, and a failure takes back what was written.
"""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from string import Template

from devstack.commands.domain_names import DomainNames
from devstack.host.console import plain, say
from devstack.host.errors import Trouble
from devstack.host.layout import Layout
from devstack.native.services import Service

TEMPLATES = Path("tools/devstack/templates/domain")
CONTRACTS = Path("libs/contracts/src/contracts")
_PAGES, _AUDIT = "## The domains\n", "| `audit` |"
"""Where a page is listed in docs/README.md, and the row that follows the queues of domains."""


def run(layout: Layout, names: DomainNames) -> None:
    """Write the files of the domain, and print what is left to do. Trouble if something is there.

    The venv has to be there, because its ruff sorts the imports.
    """
    root = layout.checkout
    _refuse_known(root, names)
    new = {path: _filled(root / source, names) for path, source in _files(names)}
    changed = dict(_changes(root, names))
    if there := [str(path) for path in new if (root / path).exists()]:
        raise Trouble(f"{', '.join(there)} exists already, so nothing is written", status=2)
    before = {path: (root / path).read_text() for path in changed}
    try:
        _write(root, {**new, **changed})
        _format(layout, [path for path in (*new, *changed) if path.suffix == ".py"])
    except BaseException:
        _take_back(root, list(new))
        _write(root, before)
        raise
    say(f"{len(new)} files are written and {len(changed)} changed: git status")
    for line in _next_steps(names):
        plain(line)


def _files(names: DomainNames) -> Iterator[tuple[Path, Path]]:
    """Each new file, with its template."""
    yield CONTRACTS / f"{names.plural}.py", TEMPLATES / "contracts/module.py.txt"
    for service, part in names.parts:
        folder = TEMPLATES / part
        for name in _PARTS[part]:
            yield _domains(service) / names.plural / name, folder / f"{name}.txt"
    for service, part in names.parts:
        name = f"test_{names.plural}_api.py" if part == "producer" else f"test_{names.plural}.py"
        yield Path(service.folder, "tests/postgres", name), TEMPLATES / f"tests/{part}.py.txt"
    yield Path(f"docs/{names.plural}.md"), TEMPLATES / "docs/page.md.txt"


_PARTS = {
    "producer": (
        "__init__.py",
        "api.py",
        "errors.py",
        "models.py",
        "repository.py",
        "schemas.py",
        "service.py",
    ),
    "consumer": ("__init__.py", "handlers.py", "models.py", "repository.py"),
}


def _domains(service: Service) -> Path:
    return Path(service.folder, "src", service.module, "domains")


def _filled(template: Path, names: DomainNames) -> str:
    return Template(template.read_text()).substitute(names.words)


def _refuse_known(root: Path, names: DomainNames) -> None:
    """Refuse a domain, an aggregate or a table that exists under this name."""
    for module in (root / CONTRACTS).glob("*.py"):
        if re.search(rf'aggregate_type: .* = "{names.singular}"', module.read_text()):
            raise Trouble(
                f"{module.relative_to(root)} has the events of {names.words['a_noun']}", status=2
            )
    for service, _ in names.parts:
        if (root / _domains(service) / names.plural).exists():
            raise Trouble(f"{names.plural} is a domain of {service.folder} already", status=2)
        for models in (root / _domains(service)).glob("*/models.py"):
            if f'"{names.plural}"' in models.read_text():
                raise Trouble(
                    f"{models.relative_to(root)} has a table {names.plural}: choose another NAME",
                    status=2,
                )


def _changes(root: Path, names: DomainNames) -> Iterator[tuple[Path, str]]:
    """Each file that lists domains, with the new one."""
    for service, _ in names.parts:
        path = _domains(service) / "__init__.py"
        yield path, _registered((root / path).read_text(), path, service, names)
    index = Path("docs/README.md")
    yield index, _with_page((root / index).read_text(), names)
    if names.consumer:
        operations = Path("docs/operations.md")
        before, anchor, after = (root / operations).read_text().partition(_AUDIT)
        _demand(anchor, operations, _AUDIT)
        yield operations, f"{before}{names.queue_row}\n{anchor}{after}"


def _registered(text: str, path: Path, service: Service, names: DomainNames) -> str:
    """The module that ends with the tuple of domains, with one more import and element."""
    head, anchor, tail = text.partition("from servicekit.service.domain ")
    _demand(anchor and tail.rstrip().endswith(")"), path, "a tuple of domains at its end")
    constant = names.words["CONSTANT"]
    imported = f"from {service.module}.domains.{names.plural} import {constant}\n"
    return f"{head}{imported}{anchor}{tail.rstrip()[:-1].rstrip().rstrip(',')}, {constant})\n"


def _with_page(text: str, names: DomainNames) -> str:
    before, anchor, after = text.partition(_PAGES)
    table, end, rest = after.partition("|\n\n")
    _demand(anchor and end, Path("docs/README.md"), _PAGES.strip())
    return f"{before}{anchor}{table}|\n{names.page_row}\n\n{rest}"


def _demand(found: object, path: Path, what: str) -> None:
    if not found:
        raise Trouble(f"{path} does not have {what}, where the new domain belongs")


def _write(root: Path, texts: dict[Path, str]) -> None:
    for path, text in texts.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)


def _take_back(root: Path, written: list[Path]) -> None:
    for path in written:
        (root / path).unlink(missing_ok=True)
        folder = (root / path).parent
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def _format(layout: Layout, paths: list[Path]) -> None:
    """What `make format` does, for these files: the order of imports depends on the name."""
    for words in (("format", "--quiet"), ("check", "--quiet", "--fix")):
        command = [layout.python, "-m", "ruff", *words, *paths]
        done = subprocess.run(
            command, cwd=layout.checkout, capture_output=True, text=True, check=False
        )
        if done.returncode:
            last = (done.stdout + done.stderr).strip().splitlines()[-1:]
            raise Trouble(f"ruff refuses the new files ({last}), so they are removed")


def _next_steps(names: DomainNames) -> Iterator[str]:
    """What only a person knows, file by file, and the commands in between."""
    producer = _domains(names.producer) / names.plural
    yield "They run and pass the checks as they are. Next (docs/adding-a-domain.md explains each):"
    yield f"  {CONTRACTS / names.plural}.py: its fields in place of `name`, and more events"
    yield "  make contracts: writes golden samples, which never change from then on, and AsyncAPI"
    if names.consumer:
        consumer = _domains(names.consumer) / names.plural
        yield f"  {consumer}/models.py, handlers.py: what this service stores and does"
    yield f"  {producer}/models.py, schemas.py, service.py, api.py: the columns, the use cases"
    for service, _ in names.parts:
        yield f'  make migration SERVICE={service.name} M="The {names.words["nouns"]}"'
    tests = ", ".join(str(path) for path, _ in _files(names) if path.parts[-2] == "postgres")
    yield f"  {tests}: what has to stay true"
    yield f"  docs/{names.plural}.md and its line in docs/README.md: what a user has to know"
    yield "  make lint types test"
