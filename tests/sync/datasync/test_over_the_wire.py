"""A data-sync between two real appliances with web servers, over TLS and the signed wire."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sync.boxes import KEY, Box

CONTENTS = """
from tests.sync.datasync import world
contents = {name: [line.decode() for line in lines] for name, lines in world.contents().items()}
result = [contents, world.blob_ids()]
"""
PULL = """
from appliances.choices import SyncTrigger
from sync.datasync import pull
run = pull.pull_data(SyncTrigger.SYNC_NOW)
result = {name: getattr(run, name) for name in
          ("status", "rows_done", "rows_sent", "blobs_done", "blobs_sent", "bytes_done", "message")}
result["seconds"] = (run.finished_at - run.started_at).total_seconds()
"""


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Box, Box]]:
    boxes = (
        Box(tmp_path / "a", "127.0.0.1", name="a.example.com"),
        Box(tmp_path / "b", "127.0.0.2", name="b.example.com"),
    )
    try:
        for box in boxes:
            box.set_key(KEY)
            box.start()
        assert "error" not in boxes[0].establish(boxes[1])
        yield boxes
    finally:
        for box in boxes:
            box.close()


def test_demo_content_arrives_and_what_the_backup_has_goes_up(pair: tuple[Box, Box]) -> None:
    primary, backup = pair
    primary.run(
        "import io; from django.core.management import call_command as c; c('demo_content', stdout=io.StringIO())"
    )
    backup.run("from tests.sync.datasync import world; world.events(3000); world.recording('r', b'r' * 3_000_000)")

    first = backup.run(PULL)

    assert first["status"] == "success"
    assert (first["rows_sent"], first["blobs_sent"]) == (3001, 1)
    assert first["blobs_done"] > 0
    assert primary.run(CONTENTS) == backup.run(CONTENTS)

    second = backup.run(PULL)
    assert (second["status"], second["rows_done"], second["bytes_done"]) == ("success", 0, 0)
    print(first, second)  # figures, shown with -s


def test_a_primary_that_dies_meanwhile_leaves_the_old_settings(pair: tuple[Box, Box]) -> None:
    primary, backup = pair
    primary.run("from tests.sync.datasync import world; world.account('anna')")
    assert backup.run(PULL)["status"] == "success"
    primary.run("from tests.sync.datasync import world; world.account('bob')")
    primary.stop_web()
    answer = backup.try_run(PULL)
    assert answer["error"] == "PeerSilent"
    assert backup.run("from appliances.models import Account; result = Account.objects.count()") == 1
    primary.start()
    assert backup.run(PULL)["status"] == "success"
    assert primary.run(CONTENTS) == backup.run(CONTENTS)
