"""What an appliance was started with, kept in its data folder, so that a command needs DATA_DIR alone.

Values that hold a password are left out: they are in the environment of the service, or nowhere.
"""

from __future__ import annotations

import json
import os
import urllib.parse
from collections.abc import Mapping
from pathlib import Path

FILE_NAME = "environment.json"
NAMES = (
    "HOST_NAME",
    "LISTEN",
    "PUBLIC_HOST_NAME",
    "EXTRA_HOST_NAMES",
    "ALLOW_LOOPBACK_TARGETS",
    "LOOK_BY_NAME",
    "FIRST_SYNC_DELAY_SECONDS",
    "TIME_ZONE",
    "DATABASE_URL",
    "REDIS_URL",
    "CREDENTIALS_DIRECTORY",
    "XML_NAMESPACE",
)


def keep(data_dir: Path, environment: Mapping[str, str]) -> None:
    """What `environment` says about this appliance is in its data folder, open to this user only."""
    kept = {name: environment[name] for name in NAMES if name in environment and not _has_password(environment[name])}
    path = data_dir / FILE_NAME
    temporary = path.with_name(f"{FILE_NAME}.{os.getpid()}.tmp")
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(kept, file, indent=2)
    temporary.replace(path)


def kept(data_dir: Path) -> dict[str, str]:
    """What the last start kept; empty when there was none, or this user may not read it."""
    try:
        found = json.loads((data_dir / FILE_NAME).read_text())
    except (OSError, ValueError):
        return {}
    return {name: str(found[name]) for name in NAMES if name in found} if isinstance(found, dict) else {}


def _has_password(value: str) -> bool:
    try:
        return "://" in value and bool(urllib.parse.urlsplit(value).password or "password=" in value)
    except ValueError:
        return True
