"""`make domain` writes the files of a new domain, from the templates in `tools/devstack/templates`.

They hold what can be known before the fields of the domain are. They run, and pass the checks after
`make contracts` and `make migration`. Nothing that exists is overwritten, and a failure takes back
what was written.
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
WITH_REPLIES = Path("tools/devstack/templates/domain_with_replies")
"""Templates that are added, or used instead, if the consumer replies by events."""
CONTRACTS = Path("libs/contracts/src/contracts")
_PAGES, _AUDIT = "## The domains\n", "| `audit` |"
"""Where a page is listed in docs/README.md, and the row that follows the queues of domains."""
_TWO_QUEUES = re.compile(r"^\| `\w+\.\w+`, `.*\n(?!\| `\w+\.\w+`, )", re.MULTILINE)
"""The last row of docs/operations.md that has both queues of a domain."""


def run(layout: Layout, names: DomainNames) -> None:
    """Write the files of the domain, and print what is left to do. Trouble if something is there.

    The venv has to be there, because its ruff sorts the imports.
    """
    root = layout.checkout
    _refuse_known(root, names)
    new = {path: _filled(root / source, names) for path, source in _files(root, names)}
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
    for line in _next_steps(names, [path for path in new if path.match("tests/*/*.py")]):
        plain(line)


def _files(root: Path, names: DomainNames) -> Iterator[tuple[Path, Path]]:
    """Each new file, with its template."""
    folders = (TEMPLATES, WITH_REPLIES) if names.replies else (TEMPLATES,)
    found = {
        str(path.relative_to(root / folder)): path.relative_to(root)
        for folder in folders
        for path in sorted((root / folder).rglob("*.txt"))
    }
    yield CONTRACTS / f"{names.plural}.py", found["contracts/module.py.txt"]
    for service, part in names.parts:
        for name, template in found.items():
            if name.startswith(f"{part}/"):
                yield _domains(service) / names.plural / template.stem, template
        name = f"test_{names.plural}_api.py" if part == "producer" else f"test_{names.plural}.py"
        yield Path(service.folder, "tests/postgres", name), found[f"tests/{part}.py.txt"]
    if names.replies:
        end_to_end = Path(f"tests/e2e/test_{names.plural}_end_to_end.py")
        yield end_to_end, found["tests/end_to_end.py.txt"]
    yield Path(f"docs/{names.plural}.md"), found["docs/page.md.txt"]


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
        yield operations, _with_queue((root / operations).read_text(), operations, names)


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


def _with_queue(text: str, path: Path, names: DomainNames) -> str:
    neighbour = _TWO_QUEUES.search(text) if names.replies else None
    at = neighbour.end() if neighbour else text.find(_AUDIT)
    _demand(at >= 0, path, _AUDIT)
    return f"{text[:at]}{names.queue_row}\n{text[at:]}"


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


def _next_steps(names: DomainNames, tests: list[Path]) -> Iterator[str]:
    """What only a person knows, file by file, and the commands in between."""
    producer = _domains(names.producer) / names.plural
    yield "They pass the checks after make contracts and make migration."
    yield "Next (docs/adding-a-domain.md explains each):"
    yield f"  {CONTRACTS / names.plural}.py: its fields in place of `name`, and more events"
    yield "  make contracts: writes golden samples, which never change from then on, and AsyncAPI"
    if names.consumer:
        consumer = _domains(names.consumer) / names.plural
        decides = ", policy.py, service.py" if names.replies else ""
        yield f"  {consumer}/models.py, handlers.py{decides}: what this service stores and does"
    states = "states.py, handlers.py, " if names.replies else ""
    files = f"{states}models.py, schemas.py, service.py, api.py"
    yield f"  {producer}/{files}: the columns, the use cases"
    for service, _ in names.parts:
        yield f'  make migration SERVICE={service.name} M="The {names.words["nouns"]}"'
    yield f"  {', '.join(map(str, tests))}: what has to stay true"
    yield f"  docs/{names.plural}.md and its line in docs/README.md: what a user has to know"
    yield "  make lint types test"
