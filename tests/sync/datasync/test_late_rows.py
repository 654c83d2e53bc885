"""What belongs to a session and comes in while the session is being deleted goes with it.

On SQLite one transaction writes at a time, so only PostgreSQL can show it: this file is run there with this folder.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable

import pytest
from django.db import connection, transaction

from appliances import blobs
from appliances.incoming import sessions, uploads
from appliances.incoming.documents import EventGiven
from appliances.models import Recording, SessionEvent, SupportSession, Upload
from sync.datasync import tombstones
from tests.sync.datasync import world

pytestmark = pytest.mark.django_db(transaction=True)
WAIT_SECONDS = 30


@pytest.fixture
def session() -> uuid.UUID:
    world.set_up("primary")
    return uuid.UUID(world.whole_session("goes"))


def log_event(session: uuid.UUID) -> None:
    given = EventGiven(id=uuid.uuid4(), at=world.MOMENT, kind="chat", who="", text="late")
    sessions.add_events(session, [given])


def seal_recording(session: uuid.UUID) -> None:
    blob = blobs.store([b"late"])
    upload = Upload.objects.create(
        id=uuid.uuid4(), session_id=session, name="late", started_at=world.MOMENT, length=4, blob_id=blob.blob_id
    )
    uploads._record(upload, 4, is_incomplete=False)


def beside(work: Callable[[], object]) -> tuple[threading.Thread, list[Exception]]:
    """The work in a thread with a connection of its own; what it raised."""
    raised: list[Exception] = []

    def run() -> None:
        try:
            work()
        except Exception as error:
            raised.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    return thread, raised


COMES = pytest.mark.parametrize("comes", [log_event, seal_recording])


@COMES
def test_what_comes_while_its_session_is_being_deleted_is_refused(
    session: uuid.UUID, comes: Callable[[uuid.UUID], None]
) -> None:
    with transaction.atomic():
        tombstones.delete(tombstones.SESSION, [session])
        thread, raised = beside(lambda: comes(session))
        thread.join(0.3)
    thread.join(WAIT_SECONDS)
    assert [type(error) for error in raised] in ([sessions.NoSuchSession], [uploads.Gone])
    nothing_is_left()


@COMES
def test_a_session_is_deleted_with_what_has_just_come(session: uuid.UUID, comes: Callable[[uuid.UUID], None]) -> None:
    with transaction.atomic():
        comes(session)
        thread, raised = beside(lambda: tombstones.delete(tombstones.SESSION, [session]))
        thread.join(0.3)
    thread.join(WAIT_SECONDS)
    assert not raised
    nothing_is_left()


def nothing_is_left() -> None:
    for model in (SupportSession, SessionEvent, Recording, Upload):
        assert not model._base_manager.exists(), model
