"""The programs of one appliance: broker, web server, a worker for each queue, one beat."""

from __future__ import annotations

import errno
import socket
import ssl
import sys
from functools import partial
from pathlib import Path

from appliances.host import broker
from appliances.host.supervisor import Program

HANDSHAKE_SECONDS = 2.0
# How each queue is worked on. `role` holds the keeper in a thread of its own; `hooks` waits for several at once.
WORKERS = {
    "role": ("--pool=solo",),
    "sync": ("--pool=solo",),
    "hooks": ("--pool=threads", "--concurrency=4"),
    "mail": ("--pool=threads", "--concurrency=1"),
}


def split_address(address: str) -> tuple[str, int]:
    """`127.0.0.1:8443` or `[::1]:8443` as host and port.

    Raises:
        ValueError: not of that form.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError(f"{address!r} is not an address with a port, such as 127.0.0.1:8443")
    return host.strip("[]"), int(port)


def answers_tls(address: str) -> bool:
    """Whether a web server finishes a TLS handshake at `address`: it has a worker, not just a port."""
    host, port = split_address(address)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # who answers is not the question here
    context.verify_mode = ssl.CERT_NONE
    try:
        with (
            socket.create_connection((reachable(host), port), timeout=HANDSHAKE_SECONDS) as connection,
            context.wrap_socket(connection),
        ):
            return True
    except OSError:
        return False


def is_free(address: str) -> bool:
    """Whether a server could listen on `address` now.

    Raises:
        OSError: it is not an address of this machine, or the port needs rights that this user lacks.
    """
    host, port = split_address(address)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise
        return True


def reachable(host: str) -> str:
    """Where a server that listens at `host` answers on this machine: it may listen everywhere."""
    """Where a server that listens on `host` answers on this machine."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  (compared, not bound)


def appliance_programs(chosen: broker.Broker, *, data_dir: Path, listen: list[str]) -> list[Program]:
    """What the supervisor of one appliance runs, in the order of starting.

    What they print beside log records (banners, warnings of libraries) is kept and not shown: when one of them ends,
    the supervisor says so itself and names the log.
    """
    environment = {"DATA_DIR": str(data_dir), "REDIS_URL": chosen.url, "LOG_FORMAT": "json"}
    programs = []
    if chosen.argv and chosen.socket:
        programs.append(
            Program(
                name="broker",
                argv=chosen.argv,
                is_ready=partial(broker.answers, chosen.socket),
                stops_last=True,
                plain_level="info",
            )
        )
    celery = (sys.executable, "-m", "celery", "--quiet", "--app=failover_site")
    workers = []
    for queue, pool in WORKERS.items():
        argv = (*celery, "worker", f"--queues={queue}", f"--hostname={queue}@{data_dir.name}", *pool)
        quick = ("--without-gossip", "--without-mingle", "--without-heartbeat")
        workers.append(Program(name=queue, argv=(*argv, *quick), environment=environment, plain_level="info"))
    # A primary serves only after its role worker has looked at the peer: that one and the web server come first, and
    # the others, which nobody waits for, do not take the processor from them.
    role, *others = workers
    programs.append(role)
    programs.append(
        Program(
            name="web",
            argv=(sys.executable, "-m", "gunicorn", "-c", "python:failover_site.server"),
            is_ready=partial(answers_tls, listen[0]),
            environment=environment,
            plain_level="info",
        )
    )
    beat = Program(name="beat", argv=(*celery, "beat", "--pidfile="), environment=environment, plain_level="info")
    return [*programs, beat, *others]
