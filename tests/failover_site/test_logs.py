"""Log lines: constant events, fields, nothing forged, no secret."""

from __future__ import annotations

import json
import logging

import pytest
from django.core.exceptions import ImproperlyConfigured

from failover_site.logs import REDACTED, Formatter, logging_config


def record(event: str, **fields: object) -> logging.LogRecord:
    return logging.makeLogRecord({"msg": event, "levelname": "INFO", "name": "sync.cycle", **fields})


def test_a_line_is_one_json_object_with_the_event_and_its_fields() -> None:
    line = Formatter("json", "site1").format(record("data-sync finished", rows=12))
    fields = json.loads(line)
    assert fields["event"] == "data-sync finished"
    assert (fields["rows"], fields["appliance"], fields["logger"]) == (12, "site1", "sync.cycle")


@pytest.mark.parametrize(
    ("logger", "event", "text"),
    [
        ("gunicorn.error", "gunicorn", "Booting worker with pid: 4711"),
        ("celery.worker.consumer.consumer", "celery", "consumer: Cannot connect to redis+socket:///tmp/broker.sock"),
        ("axes.attempts", "axes", "AXES: Repeated login failure by anna."),
        ("py.warnings", "python", "consumer.py:499: a warning"),
    ],
)
def test_what_a_library_writes_is_a_constant_event_with_the_text_as_a_field(logger: str, event: str, text: str) -> None:
    fields = json.loads(Formatter("json", "site1").format(record(text, name=logger)))
    assert (fields["event"], fields["text"], fields["logger"]) == (event, text, logger)


@pytest.mark.parametrize("form", ["json", "text"])
def test_a_field_cannot_forge_a_second_line(form: str) -> None:
    line = Formatter(form, "site1").format(record("log-in refused", user="a\nlevel=error\x1b[2J"))
    assert "\n" not in line
    assert "\x1b" not in line


@pytest.mark.parametrize("form", ["json", "text"])
@pytest.mark.parametrize("name", ["password", "client_secret", "access_token", "inter_appliance_key"])
def test_a_field_that_names_a_secret_is_left_out(form: str, name: str) -> None:
    line = Formatter(form, "site1").format(record("something", **{name: "canary"}))
    assert "canary" not in line
    assert REDACTED in line


def test_a_line_for_a_terminal_begins_with_time_level_appliance_and_event() -> None:
    line = Formatter("text", "site1").format(record("data-sync finished", rows=12))
    assert line[12:] == " info    site1: data-sync finished rows=12"


def test_an_unknown_form_or_level_stops_the_start_with_the_name_of_the_variable() -> None:
    with pytest.raises(ImproperlyConfigured, match="LOG_FORMAT"):
        logging_config(form="xml", level="INFO", appliance="site1")
    with pytest.raises(ImproperlyConfigured, match="LOG_LEVEL"):
        logging_config(form="json", level="LOUD", appliance="site1")


def test_an_answer_that_is_meant_is_no_error_in_the_log_but_an_exception_is() -> None:
    configured = logging_config(form="json", level="INFO", appliance="site1")
    assert configured["loggers"]["django.request"]["filters"] == ["failures"]
    keep = configured["filters"]["failures"]["()"]()
    failed = ValueError("broken")
    assert not keep(record("Service Unavailable: /", status_code=503))
    assert keep(record("Internal Server Error: /", status_code=500, exc_info=(ValueError, failed, None)))


def test_beat_says_in_one_line_that_the_broker_is_away() -> None:
    configured = logging_config(form="json", level="INFO", appliance="site1")
    keep = configured["filters"][configured["loggers"]["celery.beat"]["filters"][0]]["()"]()
    away = OSError("Connection refused, 100 %")
    told = record("Message Error: %s\n%s", exc_info=(OSError, away, None))
    told.args = (away, ["  File a program\n"])
    assert keep(told)
    line = json.loads(Formatter("json", "site1").format(told))
    assert (line["level"], "traceback" in line) == ("warning", False)
    assert "100 %" in told.getMessage()
    assert "File" not in told.getMessage()
