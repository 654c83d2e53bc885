"""Encryption at rest with the appliance's data key: AES-256-GCM, bound to where the value is stored.

The data key (32 bytes) lies outside the database, in a file that only this service can read
(`DATA_KEY_FILE`); it is never synchronised and never in a backup: whoever
holds a copy of the database alone can open nothing in it.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings

KEY_BYTES = 32
NONCE_BYTES = 12
VERSION = b"\x01"


class SecretUnreadable(Exception):
    """A stored secret cannot be opened: the data key is another one, or the row was tampered with."""


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only this user can read, durably, unless it exists already."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        temporary.unlink()


@cache
def _data_key(path: Path) -> bytes:
    if not path.exists():
        write_private(path, os.urandom(KEY_BYTES))
    key = path.read_bytes()
    if len(key) != KEY_BYTES:
        raise SecretUnreadable(f"{path} must hold {KEY_BYTES} bytes; restore it from your copy of the data key.")
    return key


def seal(value: bytes, label: str) -> bytes:
    """Encrypt `value`; it can be opened again only under the same label (`table|row|field`)."""
    nonce = os.urandom(NONCE_BYTES)
    return VERSION + nonce + AESGCM(_data_key(settings.DATA_KEY_FILE)).encrypt(nonce, value, label.encode())


def unseal(sealed: bytes, label: str) -> bytes:
    """Decrypt what `seal` made.

    Raises:
        SecretUnreadable: another data key, another label, or a changed value.
    """
    if sealed[:1] != VERSION:
        raise SecretUnreadable(f"{label}: unknown format")
    nonce, body = sealed[1 : 1 + NONCE_BYTES], sealed[1 + NONCE_BYTES :]
    try:
        return AESGCM(_data_key(settings.DATA_KEY_FILE)).decrypt(nonce, body, label.encode())
    except InvalidTag as error:
        raise SecretUnreadable(f"{label}: the data key of this appliance does not open it") from error
