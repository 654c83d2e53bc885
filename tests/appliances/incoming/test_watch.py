"""What nobody goes on with is kept: sessions without an end, recordings that stand still."""

from __future__ import annotations

import datetime as dt
import fcntl
import io
import os
import uuid
from pathlib import Path

import pytest
import time_machine
from django.conf import settings as django_settings
from django.utils import timezone
from pytest_django import Settings

from appliances import durable
from appliances.incoming import documents, sessions, uploads, watch
from appliances.models import Recording, SupportSession

pytestmark = pytest.mark.django_db

NOTHING = {"uploads": 0, "sessions": 0, "documents": 0, "refused": 0}
HOUR = dt.timedelta(hours=1)


@pytest.fixture(autouse=True)
def own_inbox(settings: Settings, tmp_path: Path) -> Path:
    settings.INBOX_DIR = tmp_path / "inbox"
    return tmp_path / "inbox"


def taken(is_serving: bool) -> dict[str, int]:
    found = watch.take_in(is_serving=is_serving, known_until=timezone.now())
    assert found is not None
    return found.counts


def begin_session(started_at: dt.datetime) -> uuid.UUID:
    given = documents.session({"started_at": started_at.isoformat(), "representative": "a", "customer_name": "b"})
    sessions.bring_in(given)
    return given.id


def begin_upload(session_id: uuid.UUID) -> uuid.UUID:
    key = uuid.uuid4()
    given = documents.recording({"session": str(session_id), "name": "x"}, timezone.now())
    uploads.begin(key, given, 10, "robot")
    with pytest.raises(uploads.Cut):
        uploads.receive(key, io.BytesIO(b"four").read, offset=0, count=10)
    return key


def test_a_session_whose_end_nobody_told_ends_with_the_last_that_was_heard():
    started = timezone.now() - 30 * HOUR
    key = begin_session(started)
    last = started + HOUR
    sessions.add_events(key, documents.events([{"at": last.isoformat(), "kind": "note"}]))
    assert taken(is_serving=True) == NOTHING | {"sessions": 1}
    assert SupportSession.objects.get().ended_at == last


def test_an_appliance_that_does_not_serve_ends_no_session_that_may_go_on_at_the_other_one():
    begin_session(timezone.now() - 100 * HOUR)
    for known_until in (None, timezone.now() - 60 * HOUR):
        found = watch.take_in(is_serving=False, known_until=known_until)
        assert found is not None
        assert found.counts["sessions"] == 0
    assert taken(is_serving=False)["sessions"] == 1


def test_the_serving_appliance_ends_a_session_before_the_other_one_does():
    begin_session(timezone.now() - 30 * HOUR)
    assert taken(is_serving=False)["sessions"] == 0
    assert taken(is_serving=True)["sessions"] == 1


def test_a_session_that_was_heard_of_lately_goes_on():
    key = begin_session(timezone.now() - 30 * HOUR)
    now = timezone.now().isoformat()
    sessions.add_events(key, documents.events([{"at": now, "kind": "note"}]))
    begin_session(timezone.now() - HOUR)
    assert taken(is_serving=True) == NOTHING


def test_an_upload_waits_for_a_day_where_clients_go_on_and_for_minutes_where_they_cannot():
    begin_upload(begin_session(timezone.now() - HOUR))
    with time_machine.travel(timezone.now() + HOUR):
        assert taken(is_serving=True)["uploads"] == 0
        assert taken(is_serving=False)["uploads"] == 1
    assert Recording.objects.get().is_incomplete


def test_a_session_goes_on_while_its_recording_arrives():
    begin_upload(begin_session(timezone.now() - 30 * HOUR))
    assert taken(is_serving=True) == NOTHING


def test_two_workers_do_not_take_in_at_once():
    with durable.folder_lock(Path(django_settings.STAGING_DIR) / "taking-in", fcntl.LOCK_EX):
        assert watch.take_in(is_serving=True, known_until=None) is None


def test_what_lies_in_the_watched_folder_is_taken_in(own_inbox: Path):
    own_inbox.mkdir()
    (own_inbox / "a.json").write_text("{")
    os.utime(own_inbox / "a.json", (1, 1))
    assert taken(is_serving=False) == NOTHING | {"refused": 1}


def test_a_folder_that_cannot_be_used_stops_nothing_else(own_inbox: Path):
    own_inbox.write_text("no folder")
    assert taken(is_serving=True) == {"uploads": 0, "sessions": 0}


def test_an_upload_whose_file_the_disk_does_not_give_stops_nothing_else(own_inbox: Path):
    bad, good = (begin_upload(begin_session(timezone.now() - HOUR)) for _ in range(2))
    forgotten = begin_session(timezone.now() - 60 * HOUR)
    staged = Path(django_settings.STAGING_DIR) / uploads.FOLDER / bad.hex
    staged.unlink()
    staged.symlink_to("nowhere")  # as a file that cannot be opened
    own_inbox.mkdir()
    (own_inbox / "a.json").write_text("{")
    os.utime(own_inbox / "a.json", (1, 1))
    with time_machine.travel(timezone.now() + HOUR):
        found = watch.take_in(is_serving=False, known_until=timezone.now())
    assert found is not None
    assert found.counts == {"uploads": 1, "sessions": 1, "documents": 0, "refused": 1}
    assert [str(bad) in what for what in found.stuck] == [True]
    assert "symbolic" in next(iter(found.stuck.values()))
    assert SupportSession.objects.get(pk=forgotten).ended_at
    assert Recording.objects.get().pk != good  # it is incomplete, under a number of its own
