"""The log files of the children."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

from appliances.host import child_logs

NOW = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)


def parse(raw: str) -> child_logs.Line:
    return child_logs.parse(raw, child="web", plain_level="warning", now=lambda: NOW)


def test_a_file_that_has_grown_is_set_aside_and_only_a_few_are_kept(tmp_path: Path) -> None:
    file = child_logs.LogFile(tmp_path / "web.log", limit_bytes=100)
    for number in range(40):
        file.write(f"line {number} {'x' * 20}")
    file.close()
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["web.log", "web.log.1", "web.log.2", "web.log.3"]
    assert all(path.stat().st_size <= 100 for path in tmp_path.iterdir())
    assert "line 39" in (tmp_path / "web.log").read_text()


def test_a_second_start_appends(tmp_path: Path) -> None:
    for text in ("one", "two"):
        file = child_logs.LogFile(tmp_path / "web.log")
        file.write(text)
        file.close()
    assert (tmp_path / "web.log").read_text() == "one\ntwo\n"


def test_lines_are_put_together_from_pieces() -> None:
    reader = child_logs.LineReader()
    assert reader.feed(b"one\ntw") == ["one"]
    assert reader.feed(b"o\n\n") == ["two"]
    assert reader.feed(b"three") == []
    assert reader.end() == ["three"]


def test_a_line_without_end_does_not_grow_for_ever() -> None:
    reader = child_logs.LineReader()
    assert len(reader.feed(b"x" * (3 * child_logs.LONGEST_LINE_BYTES))) == 2


def test_a_record_of_the_product_stays_as_it_is() -> None:
    raw = json.dumps({"level": "error", "event": "disk full"})
    assert parse(raw) == child_logs.Line(raw, "error")


def test_anything_else_becomes_a_record() -> None:
    for raw in ("Traceback (most recent call last):", '{"half": ', '{"level": 3}'):
        line = parse(raw)
        assert json.loads(line.text)["text"] == raw
        assert line.is_loud


def test_a_record_is_readable_on_a_terminal_and_forges_nothing() -> None:
    text = child_logs.as_text(
        json.dumps(
            {
                "at": "2026-03-01T12:00:00.000+00:00",
                "level": "error",
                "appliance": "site1",
                "event": "disk\x1b[2J full",
                "logger": "sync.act",
                "role": "primary",
            }
        )
    )
    assert text == '12:00:00 error site1: disk\\u001b[2J full role="primary"'


def test_a_full_disk_costs_lines_and_nothing_else(tmp_path: Path) -> None:
    from tests.tmpfs import mounted

    with mounted(1, 20) as small:
        file = child_logs.LogFile(small.folder / "web.log", limit_bytes=100)
        file.write("before")
        for number in range(small_files_left(small.folder)):
            (small.folder / f"file-{number}").touch()
        for number in range(20):
            file.write(f"lost {number} {'x' * 20}")
        for other in small.folder.glob("file-*"):
            other.unlink()
        file.write("after")
        file.close()
        texts = "".join(path.read_text() for path in small.folder.glob("web.log*"))
    assert "before" in texts
    assert "after" in texts


def small_files_left(folder: Path) -> int:
    import os

    return os.statvfs(folder).f_favail
