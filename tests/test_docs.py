"""What is written is true: variables, commands, links."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from tests.test_architecture import ROOT, modules, name, tracked_files

# Put together here, so that this file is not the one that is found.
REGISTRY_HOSTS = re.compile(
    r"pypi" + r"\.org|python" + r"hosted|npm" + r"js\.|docker" + r"\.io|index-" + r"url", re.IGNORECASE
)
MACHINE_PATH = re.compile("/ho" + r"me/\w+/|/wo" + r"rk/\w+|/ro" + r"ot/\w+")
ENV_READ = re.compile(r"""\benv\.\w+\(\s*["'](\w+)["']|\benviron(?:\.get\(|\[)\s*["'](\w+)["']""")
# Read, but not set by anybody who runs the product.
INTERNAL = {"DJANGO_SETTINGS_MODULE"}


def text_of(path: Path) -> str:
    try:
        return path.read_text()
    except UnicodeDecodeError:
        return ""


def test_every_environment_variable_is_in_the_example() -> None:
    read = {first or second for path in modules() for first, second in ENV_READ.findall(path.read_text())} - INTERNAL
    example = (ROOT / "deploy/env.example").read_text()
    described = set(re.findall(r"^#? ?([A-Z][A-Z0-9_]*)=", example, re.MULTILINE))
    assert read - described == set(), "not described in deploy/env.example"
    assert described - read == set(), "described in deploy/env.example, but never read"


def commands_of_the_readme() -> list[str]:
    section = (ROOT / "README.md").read_text().partition("## Two commands")[2].partition("\n## ")[0]
    return [
        line.partition("#")[0].strip() for line in re.findall(r"```sh\n(.*?)```", section, re.DOTALL)[0].splitlines()
    ]


def test_the_two_commands_of_the_readme_are_what_ci_runs() -> None:
    assert commands_of_the_readme() == ["make run", "make test"]
    ci = (ROOT / ".ci/run").read_text()
    assert [re.search(rf"^\s*{command}\b", ci, re.MULTILINE) is not None for command in commands_of_the_readme()] == [
        True,
        True,
    ]
    assert "HOME=" in ci
    assert "REQUIRE_ALL=1" in ci


def test_every_command_of_make_says_what_it_does() -> None:
    lines = subprocess.run(
        ["make", "--no-print-directory", "help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert {"make run", "make test", "make check"} <= {line.partition("\t")[0] for line in lines}
    assert all(line.partition("\t")[2] for line in lines)


def test_no_file_names_a_registry_host() -> None:
    assert [name(path) for path in tracked_files() if REGISTRY_HOSTS.search(text_of(path))] == []


def test_no_file_names_a_folder_of_a_certain_machine() -> None:
    assert [name(path) for path in tracked_files() if MACHINE_PATH.search(text_of(path))] == []


def test_the_links_of_the_readmes_lead_somewhere() -> None:
    for readme in (path for path in tracked_files() if path.name == "README.md"):
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", readme.read_text()):
            assert (readme.parent / target).exists(), f"{name(readme)}: {target}"


def test_the_paths_that_the_readme_names_exist() -> None:
    folders = "sync|appliances|failover_site|deploy|tests|templates"
    for target in re.findall(rf"`((?:{folders})/[\w./-]*)`", (ROOT / "README.md").read_text()):
        assert (ROOT / target).exists(), target
