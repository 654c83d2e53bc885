"""What this appliance runs: product version, product build, and the state of its database schema."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from django.conf import settings
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder

SOURCE_FOLDERS = ("appliances", "failover_site", "sync", "templates")
SOURCE_SUFFIXES = frozenset({".py", ".html", ".txt", ".css", ".js", ".svg", ".xml", ".json"})
BUILD_BYTES = 20


def product_version() -> str:
    """The version of the product, such as 1.0.0."""
    return str(settings.PRODUCT_VERSION)


@cache
def product_build() -> str:
    """Version and build, such as `1.0.0 (build-<40 hex digits>)`: equal only where the program files are equal."""
    return f"{product_version()} (build-{_digest_of_source(settings.BASE_DIR)})"


def schema_digest() -> str:
    """A digest of the applied migrations of the database: equal where the tables are equal."""
    with connection.cursor() as cursor:  # asked with each message, so without looking for the table first
        cursor.execute(f"SELECT app, name FROM {MigrationRecorder.Migration._meta.db_table}")  # noqa: S608
        applied = sorted(cursor.fetchall())
    return hashlib.sha256("\n".join(f"{app}.{name}" for app, name in applied).encode()).hexdigest()


def _digest_of_source(base: Path) -> str:
    digest = hashlib.blake2b(digest_size=BUILD_BYTES)
    for path in _source_files(base):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(base).as_posix()}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def _source_files(base: Path) -> Iterator[Path]:
    for folder in SOURCE_FOLDERS:
        files = (path for path in (base / folder).rglob("*") if path.suffix in SOURCE_SUFFIXES and path.is_file())
        yield from sorted(path for path in files if "__pycache__" not in path.parts)
