"""Gunicorn's configuration: addresses, workers, TLS, logs (`gunicorn -c python:failover_site.server`).

Gunicorn ends TLS itself, with what `failover_site.tls` gives it for each connection.
"""

from __future__ import annotations

import logging
import os
import ssl
from collections.abc import Callable
from typing import Any

import django
from gunicorn.glogging import Logger

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "failover_site.settings")
django.setup()

from django.conf import settings  # noqa: E402
from django.db import connections  # noqa: E402

from appliances.host.processes import die_with_parent  # noqa: E402
from appliances.services.certificates import ensure_default_certificate  # noqa: E402
from failover_site.tls import DefaultCertificate  # noqa: E402


class RootLogger(Logger):  # type: ignore[misc]  # gunicorn has no type hints
    """Gunicorn's messages go to the log of the appliance, in its form."""

    def setup(self, cfg: Any) -> None:
        """Leave the handlers to Django's logging configuration."""
        super().setup(cfg)
        for logger in (self.error_log, self.access_log):
            logger.handlers.clear()
            logger.propagate = True

    def warning(self, msg: str, *args: Any, **kwargs: Any) -> None:
        """What a client did wrong is noted; it must not look like trouble of this appliance."""
        level = logging.INFO if msg.startswith("Invalid request") else logging.WARNING
        self.error_log.log(level, msg, *args, **kwargs)


_default_certificate = DefaultCertificate()


def ssl_context(_config: Any, _default: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    """Called by gunicorn for each connection."""
    return _default_certificate.context()


def pre_request(_worker: Any, request: Any) -> None:
    """The command API closes each connection after its answer, as its clients expect; no application may say so."""
    if request.path.startswith("/api/"):
        request.must_close = True


def post_fork(_arbiter: Any, _worker: Any) -> None:
    """A worker does not outlive its arbiter: it would hold the address that the next one needs."""
    die_with_parent()


def _public_certificate_file() -> str:
    """Write the certificate without its key to `certificate.pem`, for clients that want to trust it."""
    path = settings.DATA_DIR / "certificate.pem"
    temporary = path.with_suffix(".tmp")
    temporary.write_text(ensure_default_certificate().pem)
    temporary.replace(path)
    return str(path)


_temporary = settings.DATA_DIR / "tmp"
_temporary.mkdir(mode=0o700, exist_ok=True)

wsgi_app = "failover_site.wsgi:application"
bind = list(settings.LISTEN)
worker_class = "failover_site.web_worker.WebWorker"
workers = 2
threads = 8
worker_tmp_dir = str(_temporary)
umask = 0o077
# Gunicorn speaks TLS when it knows a certificate file; the hook above decides what is presented.
certfile = _public_certificate_file()
# Its control socket lies in the home folder: two appliances on one machine would share it.
control_socket_disable = True
timeout = 60  # seconds until a worker whose main loop hangs is replaced; streaming threads do not hold it up
graceful_timeout = 5  # seconds for running requests at a stop; a data-sync that is cut resumes
keepalive = 30  # longer than the time between two probes, so that the peer keeps its connection
logger_class = RootLogger
accesslog = None
loglevel = logging.getLevelName(logging.getLogger().level).lower()

_default_certificate.context()
# A connection must not be shared with the workers that are forked now.
connections.close_all()
