"""The page for what no view has foreseen."""

from __future__ import annotations

import errno
import logging

import pytest
from django.db import OperationalError
from django.test import RequestFactory
from django.utils.log import log_response

from appliances.views import errors


def answer_to(error: Exception, rf: RequestFactory) -> tuple[int, str]:
    try:
        raise error
    except Exception:
        response = errors.went_wrong(rf.get("/"))
    return response.status_code, response.content.decode()


def test_a_database_that_does_not_answer_is_named(rf: RequestFactory) -> None:
    status, body = answer_to(OperationalError("connection refused"), rf)
    assert status == 503
    assert "The database does not answer" in body
    assert "connection refused" not in body


def test_it_is_logged_in_one_line_and_not_with_every_request(
    rf: RequestFactory, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(errors, "_last_logged", [-errors.LOG_EVERY_SECONDS])
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            try:
                raise OperationalError("connection refused")
            except OperationalError:
                response = errors.went_wrong(rf.get("/"))
                log_response("%s", "/", response=response, request=rf.get("/"))
    assert [record.getMessage() for record in caplog.records] == ["database does not answer"]
    assert not caplog.records[0].exc_info


@pytest.mark.django_db
def test_a_disk_that_fills_up_meanwhile_is_a_507_that_says_so(rf: RequestFactory) -> None:
    status, body = answer_to(OSError(errno.ENOSPC, "No space left on device"), rf)
    assert status == 507
    assert "The disk of this appliance is full" in body


def test_anything_else_is_a_500(rf: RequestFactory) -> None:
    assert answer_to(ValueError("secret"), rf)[0] == 500
