"""The role diagram is that of the table, and the one in the documentation is the newest."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from sync.management.commands import role_diagram
from sync.rules import diagram
from sync.rules.table import TABLE


def test_the_diagram_in_the_documentation_is_that_of_the_table() -> None:
    call_command("role_diagram", "--check")


def test_every_row_is_drawn_with_its_conditions_and_its_sentence() -> None:
    printed = io.StringIO()
    call_command("role_diagram", stdout=printed)
    for edge in TABLE:
        assert f"| {edge.row} |" in printed.getvalue()
        assert all(sentence in printed.getvalue() for _, sentence in edge.conditions)
    assert "p_draining --> b_yielded: 10" in diagram.drawing()


def test_a_diagram_of_another_table_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    readme = tmp_path / "README.md"
    monkeypatch.setattr(role_diagram, "README", readme)
    readme.write_text("no marks")
    with pytest.raises(CommandError, match="no place for it"):
        call_command("role_diagram", "--check")
    readme.write_text(f"before\n{role_diagram.BEGIN}old\n{role_diagram.END}after\n")
    with pytest.raises(CommandError, match="--write"):
        call_command("role_diagram", "--check")
    call_command("role_diagram", "--write")
    call_command("role_diagram", "--check")
    assert readme.read_text().startswith("before\n")
    assert readme.read_text().endswith("after\n")
