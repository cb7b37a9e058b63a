"""The layout rules: imports, sizes, names, the public API."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted(
    path
    for pattern in ("libs/*/src", "service-*/src", "tools/*/src", "bench", "chaos")
    for folder in ROOT.glob(pattern)
    for path in folder.rglob("*.py")
)
DOMAIN_FILES = {
    "__init__.py",
    "api.py",
    "cache.py",
    "errors.py",
    "external.py",
    "external_answers.py",
    "finishing.py",
    "handlers.py",
    "housekeeping.py",
    "inventory.py",
    "metrics.py",
    "models.py",
    "offer_issuer.py",
    "offers.py",
    "payments.py",
    "policy.py",
    "pricing.py",
    "provider.py",
    "repository.py",
    "schemas.py",
    "service.py",
    "states.py",
}
MOST_LINES, MAX_LINES, MAX_FUNCTION = 250, 400, 40


def test_imports_point_in_the_allowed_directions() -> None:
    lint = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert lint.returncode == 0, lint.stdout


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_holds_one_idea(path: Path) -> None:
    tree = ast.parse(text := path.read_text())
    lines = len(text.splitlines())
    assert lines <= MAX_LINES
    if lines > MOST_LINES:
        assert "One file, because" in (ast.get_docstring(tree) or ""), "say why it is one idea"
    assert path.stem not in {"manager", "utils", "common", "helpers", "misc"}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno < MAX_FUNCTION, node.name


def test_domains_use_the_same_file_names() -> None:
    found = {path.name for path in ROOT.glob("service-*/src/*/domains/*/*.py")}
    assert found <= DOMAIN_FILES


def test_every_package_says_that_it_is_typed() -> None:
    packages = [
        folder for p in ("libs", "service-*", "tools") for folder in ROOT.glob(f"{p}/**/src/*/")
    ]
    for folder in packages:
        if (folder / "__init__.py").exists():
            assert (folder / "py.typed").exists(), folder


def test_the_public_api_of_the_outbox_is_pinned() -> None:
    import outbox

    assert outbox.__all__ == [
        "Application",
        "BackgroundService",
        "CircuitBreaker",
        "Consumer",
        "ConsumerSettings",
        "DayPartitions",
        "Discard",
        "Envelope",
        "Event",
        "Failures",
        "Handler",
        "Handlers",
        "HandlersByType",
        "Handling",
        "Inbox",
        "InboxSettings",
        "InvalidEvent",
        "Maintenance",
        "Middleware",
        "Notifier",
        "Outbox",
        "OutboxError",
        "Park",
        "Proceed",
        "Relay",
        "RelaySettings",
        "Retry",
        "RetryPolicy",
        "Stream",
        "Subscription",
        "Topology",
        "UnitOfWork",
        "Unreadable",
        "UnsequencedMessages",
        "Work",
        "build_worker",
        "declare_inbox",
        "errors",
        "handle_many",
        "ignore",
        "jobs",
        "open_work",
        "resend_handlers",
        "schema",
    ]
    assert all(hasattr(outbox, name) for name in outbox.__all__)


def test_lock_files_name_no_index() -> None:
    for lock in (ROOT / "requirements").glob("*.txt"):
        assert "://" not in lock.read_text(), lock


def test_no_request_takes_a_detour_over_a_thread() -> None:
    """FastAPI runs plain functions in a thread pool: a hop of tens of microseconds for each."""
    for path in [path for path in SOURCES if "service-" in str(path) or "servicekit" in str(path)]:
        tree = ast.parse(path.read_text())
        plain = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        asked = {
            call.args[0].id
            for call in ast.walk(tree)
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name)
            if call.func.id == "Depends" and call.args and isinstance(call.args[0], ast.Name)
        }
        assert not asked & plain, path


def test_every_revision_names_its_service_and_has_a_number() -> None:
    for path in ROOT.glob("service-*/migrations/versions/*.py"):
        service = path.relative_to(ROOT).parts[0].removeprefix("service-")
        named = re.search(r'^revision = "(.*)"$', path.read_text(), re.MULTILINE)
        assert named, path
        assert re.fullmatch(rf"{service}\d*_\d{{4}}", named[1]), path


def test_the_console_names_no_domain_of_these_services() -> None:
    """It is the library's, and shows applications of others."""
    folder = ROOT / "libs" / "outbox" / "src" / "outbox" / "console" / "templates"
    words = re.compile(r"booking|rental|restaurant|ticket|scooter", re.IGNORECASE)
    found = [(page.name, words.findall(page.read_text())) for page in folder.glob("*.html")]
    assert len(found) > 20
    assert [one for one in found if one[1]] == []
