"""What the pages name is there: links, anchors, files, tests, targets, metrics, variables."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterator
from functools import cache
from itertools import product
from pathlib import Path

import service_orders.settings
import service_processor.settings
import service_stubs.settings
from kit.exported_metrics import exported
from outbox.console.settings import VARIABLES
from servicekit.process.settings import ProcessSettings

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
LINK = re.compile(r"\]\(([^)\s]+)\)")
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/**/*.md"),
        *(
            page
            for top in ("libs", "service-*", "tools", "tests", "bench", "chaos", "examples")
            for page in [*ROOT.glob(f"{top}/*.md"), *ROOT.glob(f"{top}/*/*.md")]
        ),
    ]
)
PYTHON = sorted(
    path
    for top in ("libs", "service-*", "tools", "tests", "bench", "chaos", "examples")
    for path in ROOT.glob(f"{top}/**/*.py")
    if "venv" not in path.parts
)
CALL_OF_MAKE = re.compile(r"(?:^|`)(?:\$ )?(?:[A-Z_]+=\S+ )*make ([a-z-]+)(?=[`\s])", re.MULTILINE)
WITHIN_BLOCKS = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
TOPS = tuple(
    f"{path.name}/"
    for path in ROOT.iterdir()
    if path.is_dir() and path.name not in ("venv", ".local")
)


@cache
def text_of(path: Path) -> str:
    return path.read_text()


@cache
def prose_of(page: Path) -> str:
    return WITHIN_BLOCKS.sub("", text_of(page))


def words() -> Iterator[tuple[str, str]]:
    """Page and word, of all that stands in code within sentences."""
    for page in PAGES:
        for code in re.findall(r"`([^`\n]+)`", prose_of(page)):
            for word in code.split():
                yield str(page.relative_to(ROOT)), word.strip("\"'")


def unknown(pattern: str, known: Collection[str]) -> list[str]:
    """Words of the pages that match the whole pattern, and whose first group is not known."""
    found = ((page, re.fullmatch(pattern, word)) for page, word in words())
    return [f"{page}: {match[0]}" for page, match in found if match and match[1] not in known]


@cache
def anchors(page: Path) -> frozenset[str]:
    """As GitHub makes them of headings."""
    heads = re.findall(r"^#+ (.*)$", prose_of(page), re.MULTILINE)
    return frozenset(re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads)


def leads_somewhere(page: Path, link: str) -> bool:
    place, _, anchor = link.partition("#")
    target = page.parent / place if place else page
    return "://" in place or (target.exists() and (not anchor or anchor in anchors(target)))


def test_every_link_leads_somewhere() -> None:
    links = [(page, link) for page in PAGES for link in LINK.findall(prose_of(page))]
    assert [f"{page}: {link}" for page, link in links if not leads_somewhere(page, link)] == []


def test_every_page_is_in_the_list() -> None:
    index = ROOT / "docs" / "README.md"
    listed = {index.parent / link.partition("#")[0] for link in LINK.findall(text_of(index))}
    pages = {*ROOT.glob("docs/*.md")} - {index}
    missing = sorted(str(page.relative_to(ROOT)) for page in pages - listed)
    assert not missing, f"add a line for each of {missing} to docs/README.md"


# -- files, tests, targets -----------------------------------------------------------------------


def is_there(word: str) -> bool:
    """`a.{b,c}` is two files; an ellipsis at the end is any name, elsewhere any folders."""
    path = word.partition("::")[0].rstrip(".,:/")
    pattern = re.sub(r"…$", "*", path).replace("…", "**")
    parts = re.split(r"\{([\w,.]+)\}", pattern)
    choices = (part.split(",") if i % 2 else [part] for i, part in enumerate(parts))
    return all(any(ROOT.glob("".join(choice))) for choice in product(*choices))


def test_every_file_named_is_there() -> None:
    named = [(page, word) for page, word in words() if word.startswith(TOPS)]
    named = [(page, word) for page, word in named if "/0199" not in word]  # a stream
    assert [f"{page}: {word}" for page, word in named if not is_there(word)] == []


def test_every_path_named_in_short_ends_the_path_of_a_file() -> None:
    """`relay/loop.py`, `…/orders/service.py`."""
    ends = {"/".join(path.parts[-n:]) for path in PYTHON for n in (2, 3, 4)}
    assert unknown(r"(?:…/)?((?!libs/|service-|tools/|tests/)\w+(?:/\w+){1,3}\.py)", ends) == []


def test_every_module_named_is_there() -> None:
    names = {path.name for path in PYTHON}
    # Programs of a reader, and of a system before this one.
    made_up = {"shop.py", "worker.py", "migrate.py", "seed_data.py"}
    assert unknown(r"(\w+\.py)", names | made_up) == []


@cache
def names_in(path: Path) -> frozenset[str]:
    """What `-k` looks at, but for classes and marks."""
    return frozenset([path.stem, *re.findall(r"def (test_\w+)", text_of(path))])


def test_every_test_named_is_there() -> None:
    assert unknown(r"(test_\w+)", frozenset().union(*map(names_in, PYTHON))) == []


def finds_a_test(arguments: str) -> bool:
    """Whether each place is there, and each word of `-k` is in the name of a test below them."""
    options = shlex.split(arguments)
    places = [ROOT / one for one in options if one.startswith(TOPS) or f"{one}/" in TOPS]
    files = [path for path in PYTHON if any(map(path.is_relative_to, places or [ROOT]))]
    names = frozenset().union(*map(names_in, files))
    wanted = options[options.index("-k") + 1] if "-k" in options else ""
    looked_for = set(re.findall(r"\w+", wanted)) - {"and", "or", "not", "word"}
    return all(place.exists() for place in places) and all(
        any(word in name for name in names) for word in looked_for
    )


def test_every_expression_for_pytest_finds_a_test() -> None:
    calls = [
        (page.name, arguments)
        for page in PAGES
        for line in text_of(page).splitlines()
        for _, arguments in re.findall(r"""make test[^`]*? ARGS=(["'])(.*?)\1""", line)
    ]
    assert len(calls) > 10
    assert [call for call in calls if not finds_a_test(call[1])] == []


def test_every_target_of_make_is_there() -> None:
    targets = set(re.findall(r"^([a-z-]+):", text_of(ROOT / "Makefile"), re.MULTILINE))
    calls = [
        (page.name, target) for page in PAGES for target in CALL_OF_MAKE.findall(text_of(page))
    ]
    assert [call for call in calls if call[1] not in targets] == []


# -- metrics -------------------------------------------------------------------------------------


def documented() -> dict[str, tuple[str, ...]]:
    """By name, the labels of each metric in the table of docs/operations.md."""
    text = text_of(ROOT / "docs" / "operations.md")
    table = text.partition("| metric | meaning |")[2].partition("\n\n")[0]
    cells = re.findall(r"^\| (.+?) \|", table, re.MULTILINE)
    named = [one for cell in cells for one in re.findall(r"`(\w+)(?:\{([\w,]+)\})?`", cell)]
    return {name: tuple(filter(None, labels.split(","))) for name, labels in named}


def test_every_metric_is_documented_with_its_labels_and_no_other_is() -> None:
    assert documented() == exported()


def test_every_metric_named_is_exported() -> None:
    families = r"(?:outbox|inbox|http|cache)_\w+_(?:total|seconds|events|now|owned|bytes)"
    assert unknown(rf"({families})(?:\{{.*)?", exported()) == []


# -- variables -----------------------------------------------------------------------------------

SETTINGS: tuple[type[ProcessSettings], ...] = (
    service_orders.settings.Settings,
    service_processor.settings.Settings,
    service_stubs.settings.Settings,
)


NO_VALUE_INSIDE = {"CONSOLE_USERS_FILE"}
"""Variables that name a file without being the other form of a variable."""


def in_readme() -> set[str]:
    text = text_of(README).partition("## Environment")[2].partition("\n## ")[0]
    cells = re.findall(r"^\| (`[A-Z].*?) \|", text, re.MULTILINE)
    named = {name for cell in cells for name in re.findall(r"`([A-Z_]+)`", cell)}
    return {name for name in named if not name.endswith("_FILE") or name in NO_VALUE_INSIDE}


def in_example() -> set[str]:
    return set(re.findall(r"^#?([A-Z_]+)=", text_of(ROOT / ".env.example"), re.MULTILINE))


def read_by_services() -> set[str]:
    return {
        str(field.validation_alias or name.upper())
        for settings in SETTINGS
        for name, field in settings.model_fields.items()
    }


def read_by_tools() -> set[str]:
    """Compose and `make`, whose code names each variable as a text."""
    named = set(re.findall(r"\$\{([A-Z_]+)", text_of(ROOT / "docker-compose.yml")))
    for path in [*ROOT.glob("tools/devstack/src/**/*.py"), ROOT / "conftest.py"]:
        named |= set(re.findall(r'"([A-Z_]+)"', path.read_text()))
    return named


def test_the_example_and_the_readme_name_the_same_variables() -> None:
    assert in_readme() == in_example()


def test_every_variable_of_a_service_is_in_the_readme() -> None:
    assert read_by_services() <= in_readme()


def test_every_variable_of_the_console_is_in_the_readme() -> None:
    other_forms = {f"{name}_FILE" for name in VARIABLES}
    assert VARIABLES - other_forms <= in_readme()


def test_every_variable_in_the_readme_is_read() -> None:
    assert in_readme() <= read_by_services() | VARIABLES | read_by_tools()
