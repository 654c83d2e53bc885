"""The file store in the console."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client

from appliances import blobs
from appliances.models import Account, FileStoreFile

pytestmark = pytest.mark.django_db

LIST = "/login/appliances/filestorefile/"


@pytest.fixture
def administrator(client: Client) -> Client:
    account = Account.objects.create_superuser("root", password="a long enough phrase")
    client.force_login(account, "django.contrib.auth.backends.ModelBackend")
    return client


def upload(name: str = "driver.zip", content: bytes = b"PK") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, content, content_type="text/html")


def test_an_upload_is_stored_under_its_hash_and_listed(administrator: Client):
    assert administrator.post(f"{LIST}add/", {"upload": upload(), "is_public": "on"}).status_code == 302
    file = FileStoreFile.objects.get()
    assert (file.name, file.size_bytes, file.is_public) == ("driver.zip", 2, True)
    assert file.content_type == "application/zip"
    assert blobs.verify(file.blob_id) == 2
    assert "driver.zip" in administrator.get(LIST).content.decode()


def test_a_large_upload_is_streamed_into_the_store(administrator: Client):
    content = bytes(5 << 20)
    administrator.post(f"{LIST}add/", {"name": "large.bin", "upload": upload("x.bin", content)})
    file = FileStoreFile.objects.get()
    assert blobs.verify(file.blob_id) == len(content)


@pytest.mark.django_db(transaction=True)
def test_an_upload_is_stored_before_the_database_is_locked_for_everybody_else(
    administrator: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A large one takes long to be durable: an appliance that can write nothing meanwhile would lose its role."""
    locked, store = list[bool](), blobs.store

    def watched(chunks: Iterator[bytes]) -> blobs.StoredBlob:
        locked.append(connection.in_atomic_block)
        return store(chunks)

    monkeypatch.setattr(blobs, "store", watched)
    administrator.post(f"{LIST}add/", {"upload": upload()})
    administrator.post(f"{LIST}{FileStoreFile.objects.get().pk}/change/", {"name": "x", "upload": upload("x", b"new")})
    assert FileStoreFile.objects.get().size_bytes == 3
    assert locked == [False, False]


def test_nothing_is_stored_for_who_may_not_add_a_file(client: Client) -> None:
    account = Account.objects.create_user("viewer", password="a long enough phrase", is_staff=True)
    client.force_login(account, "django.contrib.auth.backends.ModelBackend")
    assert client.post(f"{LIST}add/", {"upload": upload()}).status_code == 403
    assert list(blobs.all_ids()) == []


def test_the_content_is_replaced_and_the_name_stays(administrator: Client):
    administrator.post(f"{LIST}add/", {"upload": upload()})
    file = FileStoreFile.objects.get()
    administrator.post(f"{LIST}{file.pk}/change/", {"name": file.name, "upload": upload("other.zip", b"new")})
    again = FileStoreFile.objects.get()
    assert (again.pk, again.name, again.size_bytes) == (file.pk, "driver.zip", 3)
    with blobs.open_blob(again.blob_id) as stored:
        assert stored.read() == b"new"


def test_without_an_upload_the_content_stays(administrator: Client):
    administrator.post(f"{LIST}add/", {"upload": upload()})
    file = FileStoreFile.objects.get()
    administrator.post(f"{LIST}{file.pk}/change/", {"name": "renamed.txt", "is_public": "on"})
    again = FileStoreFile.objects.get()
    assert (again.name, again.blob_id, again.is_public) == ("renamed.txt", file.blob_id, True)


def test_a_file_is_saved_under_its_name_and_never_shown(administrator: Client):
    administrator.post(f"{LIST}add/", {"name": "Seite für alle.html", "upload": upload("x.html", b"<script>")})
    answer = administrator.get(f"{LIST}{FileStoreFile.objects.get().pk}/download/")
    assert answer["Content-Disposition"] == "attachment; filename*=utf-8''Seite%20f%C3%BCr%20alle.html"
    assert answer["Content-Type"] == "application/octet-stream"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer.getvalue() == b"<script>"


def test_a_file_is_deleted_after_a_question(administrator: Client):
    administrator.post(f"{LIST}add/", {"upload": upload()})
    file = FileStoreFile.objects.get()
    assert administrator.get(f"{LIST}{file.pk}/delete/").status_code == 200
    administrator.post(f"{LIST}{file.pk}/delete/", {"post": "yes"})
    assert not FileStoreFile.objects.exists()


@pytest.mark.parametrize("name", ["a/b.txt", "../../etc/passwd", "a\x1bb", "a\x00b", "x" * 256])
def test_a_name_that_would_confuse_is_refused(administrator: Client, name: str):
    answer = administrator.post(f"{LIST}add/", {"name": name, "upload": upload()})
    assert answer.status_code == 200
    assert not FileStoreFile.objects.exists()


@pytest.mark.parametrize("name", ["A.txt", "a.txt", "CON", "trailing.", "..", "‮gnp.exe", "ä.txt", "a\u0308.txt"])
def test_any_other_name_is_only_data(administrator: Client, name: str):
    administrator.post(f"{LIST}add/", {"name": name, "upload": upload()})
    assert FileStoreFile.objects.get().name == name


def test_two_files_cannot_have_one_name(administrator: Client):
    administrator.post(f"{LIST}add/", {"upload": upload()})
    answer = administrator.post(f"{LIST}add/", {"upload": upload(content=b"other")})
    assert answer.status_code == 200
    assert b"already exists" in answer.content
    assert FileStoreFile.objects.count() == 1


def test_an_upload_without_content_is_refused(administrator: Client):
    assert administrator.post(f"{LIST}add/", {"name": "x"}).status_code == 200
    assert administrator.post(f"{LIST}add/").status_code == 200
    assert not FileStoreFile.objects.exists()


def test_an_empty_file_is_a_file(administrator: Client):
    administrator.post(f"{LIST}add/", {"upload": upload(content=b"")})
    assert FileStoreFile.objects.get().size_bytes == 0


@pytest.mark.parametrize(
    "content_type",
    ["multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=x", "application/json"],
)
def test_a_body_that_is_no_form_does_no_harm(administrator: Client, content_type: str):
    answer = administrator.post(f"{LIST}add/", b"--y\r\n\xff", content_type=content_type)
    assert answer.status_code in {200, 400}
    assert not FileStoreFile.objects.exists()
