"""Ranges, names and types of downloads."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.http import HttpResponseBase, StreamingHttpResponse
from django.test import RequestFactory
from hypothesis import given
from hypothesis import strategies as st

from appliances import blobs
from appliances.downloads import Range, Unsatisfiable, blob_response, parse_range

CONTENT = b"0123456789"
_answers: list[HttpResponseBase] = []


@pytest.fixture(autouse=True)
def read_answers_to_their_end() -> Iterator[None]:
    yield
    while _answers:
        answer = _answers.pop()
        if isinstance(answer, StreamingHttpResponse):
            body(answer)


def ask(
    name: str = "a.wav", content_type: str = "audio/wav", *, inline: bool = False, **headers: str
) -> HttpResponseBase:
    blob_id = blobs.store([CONTENT]).blob_id
    request = RequestFactory().get("/", headers=headers)
    answer = blob_response(request, blob_id=blob_id, name=name, content_type=content_type, inline=inline)
    _answers.append(answer)
    return answer


def body(answer: HttpResponseBase) -> bytes:
    assert isinstance(answer, StreamingHttpResponse)
    return answer.getvalue()


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-3", Range(0, 4)),
        ("bytes=3-", Range(3, 10)),
        ("bytes=-4", Range(6, 10)),
        ("bytes=-40", Range(0, 10)),
        ("bytes=0-99", Range(0, 10)),
        ("BYTES= 9-9", Range(9, 10)),
        ("bytes=5-4", None),
        ("bytes=-", None),
        ("bytes=0-1,3-4", None),
        ("bytes=a-b", None),
        ("bytes=٣-٤", None),
        ("lines=0-1", None),
        ("bytes=0-" + "9" * 5000, None),
        ("", None),
    ],
)
def test_ranges_are_read_as_the_standard_says(header: str, expected: Range | None):
    assert parse_range(header, 10) == expected


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=99-100", "bytes=-0"])
def test_a_range_behind_the_end_cannot_be_satisfied(header: str):
    with pytest.raises(Unsatisfiable):
        parse_range(header, 10)


@given(st.text(max_size=40), st.integers(min_value=0, max_value=1 << 40))
def test_no_header_breaks_the_parser(header: str, size: int):
    for text in (header, f"bytes={header}"):
        try:
            found = parse_range(text, size)
        except Unsatisfiable:
            continue
        assert found is None or 0 <= found.start < found.end <= size


def test_the_whole_content_is_sent_without_a_range():
    answer = ask()
    assert answer.status_code == 200
    assert answer["Content-Length"] == "10"
    assert answer["Accept-Ranges"] == "bytes"
    assert body(answer) == CONTENT


def test_a_range_is_sent_as_such():
    answer = ask(range="bytes=2-5")
    assert answer.status_code == 206
    assert answer["Content-Range"] == "bytes 2-5/10"
    assert answer["Content-Length"] == "4"
    assert body(answer) == b"2345"


def test_a_range_that_cannot_be_satisfied_is_answered_with_the_size():
    answer = ask(range="bytes=10-")
    assert answer.status_code == 416
    assert answer["Content-Range"] == "bytes */10"


def test_a_range_of_other_content_is_answered_with_everything():
    assert ask(range="bytes=2-5", if_range='"other"').status_code == 200


def test_what_the_browser_has_is_not_sent_again():
    etag = ask()["ETag"]
    assert ask(if_none_match=etag).status_code == 304


def test_a_question_for_the_head_sends_no_content():
    blob_id = blobs.store([CONTENT]).blob_id
    answer = blob_response(RequestFactory().head("/"), blob_id=blob_id, name="a", content_type="audio/wav")
    assert answer["Content-Length"] == "10"
    assert body(answer) == b""


@pytest.mark.parametrize("inline", [True, False])
@pytest.mark.parametrize("content_type", ["text/html", "image/svg+xml", "application/pdf", "text/html; x", ""])
def test_only_sound_and_video_are_ever_shown_by_the_browser(content_type: str, inline: bool):
    answer = ask("page.html", content_type, inline=inline)
    assert answer["Content-Type"] == "application/octet-stream"
    assert answer["Content-Disposition"].startswith("attachment")
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in answer["Content-Security-Policy"]


def test_a_recording_plays_in_the_page():
    answer = ask(inline=True)
    assert answer["Content-Type"] == "audio/wav"
    assert answer["Content-Disposition"] == "inline"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("plain.txt", 'attachment; filename="plain.txt"'),
        ("Größe.txt", "attachment; filename*=utf-8''Gr%C3%B6%C3%9Fe.txt"),
        ('a"b\\c.txt', 'attachment; filename="a\\"b\\\\c.txt"'),
        ("../../etc/passwd", 'attachment; filename="../../etc/passwd"'),
    ],
)
def test_names_are_written_as_rfc_6266_says(name: str, expected: str):
    assert ask(name)["Content-Disposition"] == expected


@pytest.mark.parametrize("name", ["a\r\nSet-Cookie: x=1", "\u202egnp.exe", "\0"])
def test_no_name_can_forge_a_header_or_break_the_answer(name: str):
    written = ask(name)["Content-Disposition"]
    assert "\r" not in written
    assert "\n" not in written


def test_content_that_is_not_here_is_said_to_be_missing():
    for blob_id in ("0" * 64, "", "../x"):
        answer = blob_response(RequestFactory().get("/"), blob_id=blob_id, name="a", content_type="audio/wav")
        assert answer.status_code == 404
