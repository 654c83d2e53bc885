"""The house stays as it was drawn: layers, sizes, names."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("failover_site", "appliances", "sync")
LONGEST_MODULE = 400
LONGEST_FUNCTION = 60
TOP_LEVEL = {
    "manage.py",
    "pyproject.toml",
    "README.md",
    "CHANGELOG.md",
    "Makefile",
    "requirements.lock",
    "requirements-dev.lock",
    *PACKAGES,
    "templates",
    "tests",
    "deploy",
}
# Who may open connections over HTTP; everything else asks these.
HTTP_CLIENTS = {"sync/peer/client.py", "sync/peer/connection.py", "sync/portal.py"}
HTTP_CONNECTIONS = ("HTTPConnection", "HTTPSConnection", "urlopen")
HTTP_MODULES = {"urllib.request", "urllib3", "requests", "httpx"}


def tracked_files() -> list[Path]:
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    return [ROOT / name for name in listing.stdout.decode().split("\0") if name and (ROOT / name).exists()]


def modules() -> list[Path]:
    return [
        path
        for path in tracked_files()
        if path.suffix == ".py" and path.relative_to(ROOT).parts[0] in PACKAGES and "migrations" not in path.parts
    ]


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_the_import_contracts_hold() -> None:
    program = Path(sys.executable).parent / "lint-imports"
    result = subprocess.run([program, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


def test_no_module_is_longer_than_the_cap() -> None:
    long = {name(path): count for path in modules() if (count := len(path.read_text().splitlines())) > LONGEST_MODULE}
    assert not long


def test_no_function_is_longer_than_the_cap() -> None:
    long = {}
    for path in modules():
        for found in ast.walk(ast.parse(path.read_text())):
            if isinstance(found, ast.FunctionDef | ast.AsyncFunctionDef) and found.end_lineno:
                lines = found.end_lineno - found.lineno + 1
                if lines > LONGEST_FUNCTION:
                    long[f"{name(path)}:{found.name}"] = lines
    assert not long


def test_there_is_no_drawer_for_odds_and_ends() -> None:
    assert not [name(path) for path in modules() if path.stem in {"utils", "util", "helpers", "misc"}]


def test_nothing_new_stands_at_the_top() -> None:
    top = {path.relative_to(ROOT).parts[0] for path in tracked_files()}
    assert {entry for entry in top if not entry.startswith(".")} <= TOP_LEVEL


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def test_only_the_clients_open_connections_over_http() -> None:
    found = {
        name(path)
        for path in modules()
        if imports(path) & HTTP_MODULES or any(word in path.read_text() for word in HTTP_CONNECTIONS)
    }
    assert found <= HTTP_CLIENTS


@pytest.mark.parametrize("path", [path for path in modules() if "rules" in path.relative_to(ROOT).parts], ids=name)
def test_rules_say_in_one_sentence_what_they_are(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text()))
