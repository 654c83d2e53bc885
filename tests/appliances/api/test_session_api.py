"""The session API as its clients use it."""

from __future__ import annotations

import base64
import dataclasses
import json
import threading
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client
from pytest_django import Settings

from appliances import blobs
from appliances.api import recordings
from appliances.choices import Role
from appliances.gate import Gate
from appliances.models import Account, ApiConfiguration, Recording, SessionEvent, SupportSession, Tombstone, Upload

pytestmark = pytest.mark.django_db

PASSWORD = "correct horse battery: <staple>"
SESSION = "6f2c1d9e-5a0b-4c3d-8e7f-0123456789ab"
EVENT = {"id": str(uuid.uuid4()), "at": "2026-11-22T14:03:05+00:00", "kind": "chat", "who": "Ada", "text": "Hello\n"}
DOCUMENT: dict[str, Any] = {
    "id": SESSION,
    "started_at": "2026-11-22T15:03:00+01:00",
    "representative": "robot",
    "customer_name": "Ada",
    "subject": "Printer",
    "events": [EVENT],
}
PIECE = "application/offset+octet-stream"


def basic(name: str = "robot", password: str = PASSWORD) -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


@pytest.fixture
def robot() -> Account:
    from django.contrib.auth.models import Permission

    account = Account.objects.create_user("robot", password=PASSWORD, display_name="The Robot")
    account.user_permissions.add(Permission.objects.get(codename="bring_in_sessions"))
    return account


@pytest.fixture
def call(robot: Account) -> Callable[..., HttpResponse]:
    client = Client(enforce_csrf_checks=True, raise_request_exception=True)

    def send(method: str, path: str, body: Any = b"", content_type: str = "", **headers: str) -> HttpResponse:
        if not isinstance(body, bytes):
            body, content_type = json.dumps(body).encode(), "application/json"
        given = {"authorization": basic()} | {name.replace("_", "-"): value for name, value in headers.items()}
        response = client.generic(method, f"/api/v1/{path}", body, content_type, headers=given)
        assert isinstance(response, HttpResponse)
        return response

    return send


@pytest.fixture
def session(call: Callable[..., HttpResponse]) -> str:
    assert call("POST", "sessions", DOCUMENT).status_code == 201
    return SESSION


def told(response: HttpResponse, status: int, code: str) -> dict[str, Any]:
    """The answer of a refusal, which has this status and code and a sentence."""
    answer: dict[str, Any] = json.loads(response.content)
    assert (response.status_code, answer["code"]) == (status, code), answer
    assert answer["error"].endswith((".", ")."))
    return answer


def test_a_session_with_its_events_is_kept(call: Callable[..., HttpResponse], robot: Account):
    response = call("POST", "sessions", DOCUMENT)
    assert response.status_code == 201
    assert json.loads(response.content)["events"] == 1
    row = SupportSession.objects.get(pk=SESSION)
    assert (row.account_name, row.account_id_value, row.customer_name) == ("The Robot", robot.pk, "Ada")
    assert (row.started_at.isoformat(), row.ended_at) == ("2026-11-22T14:03:00+00:00", None)
    assert SessionEvent.objects.get().text == "Hello\n"


def test_what_is_sent_again_is_not_kept_twice(call: Callable[..., HttpResponse], session: str):
    assert call("POST", "sessions", DOCUMENT).status_code == 200
    assert call("POST", f"sessions/{session}/events", [EVENT]).status_code == 200
    assert (SupportSession.objects.count(), SessionEvent.objects.count()) == (1, 1)
    told(call("POST", "sessions", DOCUMENT | {"subject": "Other"}), 409, "already_there")
    told(call("POST", f"sessions/{session}/events", [EVENT | {"text": "Other"}]), 409, "already_there")


@pytest.mark.parametrize(
    ("model", "path"), [(SupportSession, "sessions"), (SessionEvent, f"sessions/{SESSION}/events")]
)
def test_two_equal_requests_at_one_moment_are_both_answered(
    call: Callable[..., HttpResponse], model: Any, path: str, monkeypatch: pytest.MonkeyPatch
):
    if model is SessionEvent:
        call("POST", "sessions", {**DOCUMENT, "events": []})
    real, name = model._base_manager.bulk_create, "bulk_create" if model is SessionEvent else "save"
    act = getattr(model.objects if model is SessionEvent else model, name)
    was_there: list[bool] = []

    def first_the_other(given: Any, *args: Any, **kwargs: Any) -> Any:
        if not was_there:
            was_there.append(True)
            real(given if isinstance(given, list) else [given])
        return act(given, *args, **kwargs)

    monkeypatch.setattr(model.objects if model is SessionEvent else model, name, first_the_other)
    assert call("POST", path, DOCUMENT if model is SupportSession else [EVENT]).status_code in (200, 201)
    assert was_there
    assert (SupportSession.objects.count(), SessionEvent.objects.count()) == (1, 1)


def test_a_session_goes_on_and_ends_once(call: Callable[..., HttpResponse], session: str):
    more = {"at": "2026-11-22T14:04:00Z", "kind": "note"}
    assert json.loads(call("POST", f"sessions/{session}/events", [more]).content)["added"] == 1
    end = {"ended_at": "2026-11-22T14:30:00Z"}
    assert call("PATCH", f"sessions/{session}", end).status_code == 200
    assert call("PATCH", f"sessions/{session}", end).status_code == 200
    told(call("PATCH", f"sessions/{session}", {"ended_at": "2026-11-22T15:00:00Z"}), 409, "already_there")
    told(call("PATCH", f"sessions/{session}", {"subject": "x"}), 400, "unusable")
    state = json.loads(call("GET", f"sessions/{session}").content)
    assert (state["ended_at"], state["events"]) == ("2026-11-22T14:30:00+00:00", 2)


@pytest.mark.parametrize(
    "change",
    [
        {"id": "7"},
        {"id": 7},
        {"started_at": "2026-11-22T15:03:00"},
        {"started_at": "0001-01-01T00:00:00+14:00"},
        {"started_at": 5},
        {"ended_at": "2020-01-01T00:00:00Z"},
        {"customer_name": "x" * 151},
        {"customer_name": "a\0b"},
        {"customer_name": None},
        {"customer_name": ["x"]},
        {"subject": "\ud800"},
        {"colour": "red"},
        {"events": {}},
        {"events": [EVENT, EVENT]},
        {"events": [EVENT | {"kind": "dance"}]},
        {"events": [EVENT | {"at": None}]},
        {"events": [EVENT | {"text": "x" * 100_001}]},
        {"events": [EVENT | {"id": str(uuid.uuid4())} for _ in range(10_001)]},
        {"events": ["x"]},
    ],
)
def test_a_document_that_cannot_be_used_is_refused_whole(call: Callable[..., HttpResponse], change: dict[str, Any]):
    told(call("POST", "sessions", DOCUMENT | change), 400, "unusable")
    assert not SupportSession.objects.exists()
    assert not SessionEvent.objects.exists()


@pytest.mark.parametrize("body", [b"{", b"[" * 100_000, b"\xff", b'"text"', b"NaN"])
def test_what_is_no_document_is_refused(call: Callable[..., HttpResponse], body: bytes):
    assert call("POST", "sessions", body, "application/json").status_code == 400


def test_a_whole_recording_in_one_request(call: Callable[..., HttpResponse], session: str):
    key = uuid.uuid4()
    content = b"recorded" * 300_000
    response = call("PUT", f"recordings/{key}?session={session}&name=a%2F..%2Fb.webm&duration_seconds=4.5", content)
    assert response.status_code == 201, response.content
    answer = json.loads(response.content)
    row = Recording.objects.get(pk=key)
    assert (answer["blake3"], answer["is_sealed"]) == (row.blob_id, True)
    assert (row.name, row.duration and row.duration.total_seconds()) == ("a/../b.webm", 4.5)
    assert blobs.verify(row.blob_id) == len(content)
    told(call("PUT", f"recordings/{key}?session={session}&name=b", b"other"), 409, "sealed")
    assert call("HEAD", f"recordings/{key}").headers["Upload-Offset"] == str(len(content))
    told(call("DELETE", f"recordings/{key}"), 409, "sealed")


def test_what_the_retention_deleted_does_not_come_back(call: Callable[..., HttpResponse], session: str):
    key, gone = str(uuid.uuid4()), str(uuid.uuid4())
    for row_id in (key, gone):
        Tombstone.objects.create(dataset="x", row_id=row_id, deleted_at="2026-01-01T00:00:00Z")
    told(call("PUT", f"recordings/{key}?session={session}&name=b", b"x"), 409, "sealed")
    told(call("POST", "sessions", DOCUMENT | {"id": gone, "events": []}), 409, "already_there")


def metadata(**values: str) -> str:
    return ",".join(f"{name} {base64.b64encode(value.encode()).decode()}" for name, value in values.items())


def test_piece_by_piece_as_tus_clients_do(call: Callable[..., HttpResponse], session: str):
    made = call("POST", "recordings", Upload_Length="10", Tus_Resumable="1.0.0",
                Upload_Metadata=metadata(session=session, filename="ü.webm", filetype="audio/ogg"))  # fmt: skip
    assert made.status_code == 201, made.content
    path = made.headers["Location"].partition("/api/v1/")[2]
    head = call("HEAD", path)
    assert (head.headers["Upload-Offset"], head.headers["Upload-Length"]) == ("0", "10")
    assert head.headers["Tus-Resumable"] == "1.0.0"
    assert head.headers["Upload-Expires"].endswith("GMT")
    assert call("PATCH", path, b"01234", PIECE, Upload_Offset="0").headers["Upload-Offset"] == "5"
    refused = call("PATCH", path, b"01234", PIECE, Upload_Offset="0")
    told(refused, 409, "offset")
    assert refused.headers["Upload-Offset"] == "5"
    told(call("PATCH", path, b"567890", PIECE, Upload_Offset="5"), 416, "too_much")
    assert call("PATCH", path, b"56789", PIECE, Upload_Offset="5").status_code == 204
    row = Recording.objects.get()
    assert (row.name, row.content_type, row.size_bytes) == ("ü.webm", "audio/ogg", 10)
    told(call("PATCH", path, b"x", PIECE, Upload_Offset="10"), 409, "sealed")


def test_what_a_crash_left_at_its_end_is_complete_when_it_is_asked_for(call: Callable[..., HttpResponse], session: str):
    key = uuid.uuid4()
    blob = blobs.store([b"content"])
    told = {"session_id": SESSION, "name": "x", "started_at": "2026-11-22T14:03:00Z", "content_type": "video/webm"}
    Upload.objects.create(id=key, length=7, blob_id=blob.blob_id, account_name="robot", **told)
    response = call("HEAD", f"recordings/{key}")
    assert (response.status_code, response.headers["Upload-Offset"]) == (200, "7")
    assert Recording.objects.get(pk=key).size_bytes == 7
    assert not Upload.objects.exists()


def test_the_length_may_come_later_and_the_first_bytes_at_once(call: Callable[..., HttpResponse], session: str):
    made = call("POST", "recordings", b"live", PIECE, Upload_Defer_Length="1",
                Upload_Metadata=metadata(session=session, name="live.webm"))  # fmt: skip
    assert (made.status_code, made.headers["Upload-Offset"]) == (201, "4")
    path = made.headers["Location"].partition("/api/v1/")[2]
    assert call("HEAD", path).headers["Upload-Defer-Length"] == "1"
    empty = {"Content_Type": PIECE, "Content_Length": "0"}  # the test client sends neither without a body
    assert call("PATCH", path, Upload_Offset="4", Upload_Length="4", **empty).status_code == 204
    assert Recording.objects.get().size_bytes == 4


def test_an_upload_can_be_given_up(call: Callable[..., HttpResponse], session: str):
    made = call("POST", "recordings", Upload_Length="9", Upload_Metadata=metadata(session=session, name="x"))
    path = made.headers["Location"].partition("/api/v1/")[2]
    assert call("DELETE", path).status_code == 204
    for method in ("HEAD", "DELETE"):
        assert call(method, path).status_code == 404
    assert not Upload.objects.exists()


def test_options_tell_what_the_server_can(call: Callable[..., HttpResponse], settings: Settings):
    settings.MAX_UPLOAD_GIB = 2
    response = call("OPTIONS", "recordings")
    assert (response.status_code, response.headers["Tus-Version"]) == (204, "1.0.0")
    assert response.headers["Tus-Max-Size"] == str(2 << 30)
    assert "creation" in response.headers["Tus-Extension"]


def test_each_refusal_has_its_status_and_a_sentence(call: Callable[..., HttpResponse], session: str):
    put = f"recordings/{uuid.uuid4()}?session={session}&name=x"
    too_long = str((64 << 30) + 1)
    told(call("PUT", put, b"x", authorization=basic(password="wrong")), 401, "credentials")
    told(call("PUT", put, b"x", authorization="Basic %%%"), 401, "credentials")
    told(call("PUT", put, b"x", authorization="Bearer x"), 401, "credentials")
    told(call("PUT", put, b"x", "multipart/form-data; boundary=x"), 415, "content_type")
    told(call("PUT", put, b"x", "application/x-www-form-urlencoded"), 415, "content_type")
    told(call("PUT", put, b"x", "text/html"), 415, "content_type")
    told(call("PUT", put, b"x", content_range="bytes 0-0/2"), 416, "range")
    told(call("PUT", put.replace("name=x", "name="), b"x"), 400, "unusable")
    told(call("PUT", f"{put}&duration_seconds=nan", b"x"), 400, "unusable")
    told(call("PUT", f"{put}&content_type=nonsense", b"x"), 400, "unusable")
    told(call("PUT", f"recordings/{uuid.uuid4()}?session={uuid.uuid4()}&name=x", b"x"), 404, "no_session")
    told(call("POST", "sessions", b"<a/>", "text/xml"), 415, "content_type")
    told(call("POST", f"sessions/{uuid.uuid4()}/events", [EVENT]), 404, "no_session")
    told(call("PATCH", f"recordings/{uuid.uuid4()}", b"x", PIECE, upload_offset="0"), 404, "no_upload")
    told(call("PATCH", f"recordings/{uuid.uuid4()}", b"x", PIECE), 400, "offset")
    told(call("PATCH", f"recordings/{uuid.uuid4()}", b"x", PIECE, upload_offset="-1"), 400, "header")
    told(call("PATCH", f"recordings/{uuid.uuid4()}", b"x", PIECE, upload_offset="1" * 30), 400, "header")
    told(call("POST", "recordings", upload_metadata=metadata(session=session, name="x")), 411, "length")
    told(call("POST", "recordings", upload_length="1", upload_metadata="name %%"), 400, "unusable")
    big = call("POST", "recordings", upload_length=too_long, upload_metadata=metadata(session=session, name="x"))
    told(big, 413, "too_large")
    told(call("POST", "recordings", upload_length="1", tus_resumable="0.2.2"), 412, "version")
    told(call("GET", "recordings"), 405, "method")
    assert not Recording.objects.exists()
    assert not Upload.objects.exists()


def test_a_body_without_its_length_is_refused(client: Client, robot: Account):
    path = f"/api/v1/recordings/{uuid.uuid4()}?session={SESSION}&name=x"
    SupportSession.objects.create(id=SESSION, started_at="2026-01-01T00:00:00Z", account_name="a", customer_name="b")
    response = client.generic("PUT", path, b"x", "", headers={"authorization": basic()}, CONTENT_LENGTH="")
    assert isinstance(response, HttpResponse)
    told(response, 411, "length")


def test_an_account_without_the_permission_may_not(call: Callable[..., HttpResponse], robot: Account):
    robot.user_permissions.clear()
    told(call("POST", "sessions", DOCUMENT), 403, "permission")
    Account.objects.filter(pk=robot.pk).update(is_active=False)
    told(call("POST", "sessions", DOCUMENT), 401, "credentials")


def test_it_can_be_switched_off(call: Callable[..., HttpResponse]):
    ApiConfiguration.objects.create(pk=1, enable_session_api=False)
    told(call("POST", "sessions", DOCUMENT), 403, "disabled")


def test_a_full_disk_answers_507(call: Callable[..., HttpResponse], session: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("appliances.disk.least_bytes", lambda: 1 << 62)
    told(call("PUT", f"recordings/{uuid.uuid4()}?session={session}&name=x", b"x"), 507, "disk_full")


def test_a_few_recordings_at_once_leave_room_for_everything_else(
    call: Callable[..., HttpResponse], session: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("appliances.api.recordings._slots", threading.BoundedSemaphore(1))
    path = f"recordings/{uuid.uuid4()}?session={session}&name=x"
    with recordings._slots:
        refused = call("PUT", path, b"x")
    told(refused, 503, "busy")
    assert int(refused.headers["Retry-After"]) > 0
    assert call("PUT", path, b"x").status_code == 201


def test_a_recording_of_unknown_length_says_so_on_its_page(call: Callable[..., HttpResponse], session: str):
    key = uuid.uuid4()
    call("PUT", f"recordings/{key}?session={session}&name=x", b"x")
    console = Client()
    console.force_login(Account.objects.create_superuser("root"), "django.contrib.auth.backends.ModelBackend")
    for page in (f"recording/{key}", f"supportsession/{session}"):
        answer = console.get(f"/login/appliances/{page}/change/").content.decode()
        assert "not known" in answer
        assert "None" not in answer


HERE: dict[str, Gate] = {}


def some_gate() -> Gate:
    return HERE["now"]


BACKUP = Gate(Role.BACKUP, False, False, primary_url="https://a.example.com", sentence="This appliance is the backup.")


@pytest.mark.parametrize(
    ("now", "status", "code"),
    [
        (BACKUP, 503, "backup"),
        (dataclasses.replace(BACKUP, role=Role.PRIMARY), 409, "superseded"),
        (dataclasses.replace(BACKUP, operation_running=True), 503, "not_serving"),
        (dataclasses.replace(BACKUP, role=Role.PRIMARY, primary_url=None), 503, "not_serving"),
    ],
)
def test_where_it_does_not_serve_it_names_the_primary(
    call: Callable[..., HttpResponse], settings: Settings, now: Gate, status: int, code: str
):
    HERE["now"] = now
    settings.ROLE_GATE = f"{__name__}.some_gate"
    response = call("POST", "sessions", DOCUMENT)
    answer = told(response, status, code)
    assert answer["primary_url"] == now.primary_url
    assert ("Retry-After" in response.headers) is (status == 503)
    if code in ("backup", "superseded"):
        assert "https://a.example.com" in answer["error"]
