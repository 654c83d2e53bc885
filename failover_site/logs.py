"""The log format: one JSON object a line, or `event key=value` for a terminal.

A log call gives a constant event and fields: `log.info("data-sync finished", extra={"rows": 12})`.
What a library writes becomes the event `gunicorn`, `celery`, ... with its text as the field `text`.
Control characters are escaped, so that no field can forge a line; fields that name a secret are left out.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
import re
from typing import Any

from django.core.exceptions import ImproperlyConfigured

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_OWN = frozenset({"appliances", "sync", "failover_site"})
_EVENTS = {"py": "python"}  # where a library's logger has a name that says nothing
_SECRET_NAME = re.compile(r"password|secret|passphrase|token|(^|_)key$", re.IGNORECASE)
REDACTED = "[redacted]"


class Formatter(logging.Formatter):
    """Formats a record as JSON or as text, with the fields of `extra`."""

    def __init__(self, form: str, appliance: str) -> None:
        super().__init__()
        self.form = form
        self.appliance = appliance

    def fields(self, record: logging.LogRecord) -> dict[str, Any]:
        """The fields of one record in their order."""
        source = record.name.partition(".")[0]
        is_own = source in _OWN
        fields: dict[str, Any] = {
            "at": dt.datetime.fromtimestamp(record.created, dt.UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "appliance": self.appliance,
            "event": record.getMessage() if is_own else _EVENTS.get(source, source),
            "logger": record.name,
        }
        if not is_own:
            fields["text"] = record.getMessage()
        for name, value in record.__dict__.items():
            if name not in _STANDARD and name != "request" and not name.startswith("_"):
                fields[name] = REDACTED if _SECRET_NAME.search(name) else value
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return fields

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        fields = self.fields(record)
        if self.form == "json":
            return json.dumps(fields, default=str)
        head = f"{fields.pop('at')[11:23]} {fields.pop('level'):7} {fields.pop('appliance')}: {fields.pop('event')}"
        fields.pop("logger")
        traceback = fields.pop("traceback", "")
        rest = " ".join(f"{name}={json.dumps(value, default=str)}" for name, value in fields.items())
        return "\n".join(part for part in (f"{json.dumps(head)[1:-1]} {rest}".rstrip(), traceback) if part)


def is_failure(record: logging.LogRecord) -> bool:
    """Whether a record of `django.request` tells of an exception, not of an answer that is meant.

    An unhealthy `/check_health` answers 500 and the portal of a backup 503, again and again: neither is an error.
    """
    return record.exc_info is not None


def without_stack(record: logging.LogRecord) -> bool:
    """Beat tells with each tick that the broker is away, and where in its program it noticed; the first line is enough.

    Always true: the record stays.
    """
    if record.exc_info and str(record.msg).startswith("Message Error"):
        record.msg, record.args = record.getMessage().partition("\n")[0], ()
        record.exc_info, record.levelno, record.levelname = None, logging.WARNING, "WARNING"
    return True


def logging_config(*, form: str, level: str, appliance: str) -> dict[str, Any]:
    """The logging configuration (for `dictConfig`) of every process of this appliance.

    Raises:
        ImproperlyConfigured: LOG_FORMAT or LOG_LEVEL is not one of the known words.
    """
    if form not in {"json", "text"}:
        raise ImproperlyConfigured(f"LOG_FORMAT must be json or text, not {form!r}")
    if level.upper() not in logging.getLevelNamesMapping():
        raise ImproperlyConfigured(f"LOG_LEVEL must be one of DEBUG, INFO, WARNING, ERROR, not {level!r}")
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {"failures": {"()": lambda: is_failure}, "stacks": {"()": lambda: without_stack}},
        "formatters": {"line": {"()": Formatter, "form": form, "appliance": appliance}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
        "root": {"handlers": ["stderr"], "level": level.upper()},
        "loggers": {
            "django.request": {"level": "ERROR", "filters": ["failures"]},
            "axes": {"level": "WARNING"},
            # A line for each tick and each task would bury the rest.
            "celery": {"level": "WARNING"},
            "celery.beat": {"filters": ["stacks"]},
            "kombu": {"level": "WARNING"},
        },
    }
