"""Secrets inside the settings: encrypted at rest with a key of each appliance, so wrapped anew for the way.

Both appliances derive the same keys from the inter-appliance key: one for a snapshot to wrap with, one to compare
with, so that equal secrets have equal digests though nobody can read them from a manifest.
"""

from __future__ import annotations

import hmac
import os
from functools import cached_property

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.utils.crypto import salted_hmac

from appliances import secrets
from appliances.services.keys import derive, inter_appliance_secret
from sync.datasync.refusals import refused
from sync.rules.snapshot import Refusal

NONCE_BYTES = 12


class SecretWrap:
    """What wraps, opens and compares secrets of one snapshot."""

    def __init__(self, key: bytes, snapshot_id: str) -> None:
        self._key = key
        self._snapshot_id = snapshot_id

    @cached_property
    def _cipher(self) -> AESGCM:
        return AESGCM(derive(self._key, f"sync-secret|{self._snapshot_id}"))

    @cached_property
    def _digest_key(self) -> bytes:
        return derive(self._key, "sync-secret-digest")

    @property
    def key_id(self) -> str:
        """Names the key that secrets are digested with (16 hex digits), and tells nothing about it."""
        return hmac.digest(self._digest_key, b"name of this key", "sha256").hex()[:16]

    def wrap(self, secret: bytes, place: str) -> bytes:
        """The secret, encrypted for the peer; it can be opened only for the same place (`dataset|field`)."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, secret, place.encode())

    def unwrap(self, wrapped: bytes, place: str) -> bytes:
        """The secret that the peer wrapped.

        Raises:
            SyncRefused: wrapped with another key or for another place, or changed.
        """
        try:
            return self._cipher.decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], place.encode())
        except (InvalidTag, ValueError) as error:
            raise refused(Refusal.ROW_UNUSABLE, f"The secret of {place} cannot be opened.") from error

    def digest(self, secret: bytes, place: str) -> bytes:
        """What stands for the secret where two appliances compare."""
        return hmac.digest(self._digest_key, place.encode() + b"\0" + secret, "sha256")


class AtRest(SecretWrap):
    """What wraps secrets for a file of this appliance alone: with its data key."""

    def __init__(self) -> None:
        super().__init__(b"", "")

    def wrap(self, secret: bytes, place: str) -> bytes:
        """The secret, sealed with the data key."""
        return secrets.seal(secret, f"configuration_backup|{place}")

    def unwrap(self, wrapped: bytes, place: str) -> bytes:
        """The secret that was sealed.

        Raises:
            SyncRefused: the data key is another one.
        """
        try:
            return secrets.unseal(wrapped, f"configuration_backup|{place}")
        except secrets.SecretUnreadable as error:
            raise refused(Refusal.SECRET_UNREADABLE, str(error)) from error

    def digest(self, secret: bytes, place: str) -> bytes:
        """What stands for the secret where two versions of this appliance are compared."""
        return salted_hmac(f"configuration-backup|{place}", secret, algorithm="sha256").digest()


NO_SECRETS = SecretWrap(b"", "")  # for append-only tables: they hold none, a test sees to it


def for_snapshot(snapshot_id: str) -> SecretWrap:
    """The wrap under this appliance's inter-appliance key.

    Raises:
        SyncRefused: no key is set, or it cannot be decrypted.
    """
    try:
        key = inter_appliance_secret()
    except secrets.SecretUnreadable as error:
        raise refused(Refusal.SECRET_UNREADABLE, str(error)) from error
    if key is None:
        raise refused(Refusal.NO_RELATIONSHIP, "No inter-appliance key is set.")
    return SecretWrap(key, snapshot_id)
