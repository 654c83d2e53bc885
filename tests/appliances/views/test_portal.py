"""The portal: the site's words and its public files."""

from __future__ import annotations

import uuid

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from appliances import blobs
from appliances.models import FileStoreFile, Site

pytestmark = pytest.mark.django_db


def make_file(name: str = "Guide.txt", content: bytes = b"read me", *, is_public: bool = True) -> FileStoreFile:
    stored = blobs.store([content])
    return FileStoreFile.objects.create(
        name=name, blob_id=stored.blob_id, size_bytes=stored.size_bytes, is_public=is_public
    )


def test_it_says_what_the_site_says_and_who_answers(client: Client):
    Site.objects.create(name="Help <b>here</b>", portal_text="Two\nlines")
    answer = client.get("/")
    page = answer.content.decode()
    assert "Help &lt;b&gt;here&lt;/b&gt;" in page
    assert "Two\nlines" in page
    assert "Answered by site1.example.com" in page
    assert answer["X-Served-By"] == "site1.example.com"
    assert answer["Cache-Control"] == "no-store"


def test_it_offers_the_public_files_only(client: Client):
    make_file("Public.txt")
    make_file("Internal.txt", is_public=False)
    page = client.get("/").content.decode()
    assert "Public.txt" in page
    assert "Internal.txt" not in page


def test_a_public_file_is_saved_under_its_name(client: Client):
    answer = client.get(f"/files/{make_file().pk}/")
    assert answer.getvalue() == b"read me"
    assert answer["Content-Disposition"] == 'attachment; filename="Guide.txt"'


def test_an_internal_file_is_not_there_for_the_public(client: Client):
    assert client.get(f"/files/{make_file(is_public=False).pk}/").status_code == 404
    assert client.get(f"/files/{uuid.uuid4()}/").status_code == 404
    assert client.get("/files/..%2f..%2fetc%2fpasswd/").status_code == 404


def test_it_takes_no_writes(client: Client):
    assert client.post("/").status_code == 405


def test_many_files_need_no_more_queries(client: Client, django_assert_max_num_queries: DjangoAssertNumQueries):
    for number in range(60):
        make_file(f"{number}.txt")
    client.get("/")
    with django_assert_max_num_queries(3):
        client.get("/")
