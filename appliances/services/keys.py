"""The inter-appliance key: generate, enter, and derive what is computed with it.

What was typed is stretched once with scrypt and forgotten; only the result is kept, sealed with the data key of this
appliance. Everything else (key id, keys of a pair) is derived from it when needed.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import unicodedata

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils import timezone

from appliances import key_strength, secrets, selectors
from appliances.models import InterApplianceKey
from appliances.models.relationship import KEY_LABEL

SCRYPT_N = 2**17  # 128 MiB and about half a second a guess: what a thief of one signed message has to pay
SCRYPT_R = 8
SCRYPT_P = 1
KEY_BYTES = 32
KEY_ID_BYTES = 8
GENERATED_CHARACTERS = 52
GROUP = 4

_GENERATED = re.compile(rf"[A-Z2-7]{{{GENERATED_CHARACTERS}}}")


def generate_inter_appliance_key() -> str:
    """A new random key of 256 bits: 52 base32 characters in groups of four. It is not stored."""
    text = base64.b32encode(os.urandom(KEY_BYTES)).decode().rstrip("=")
    return "-".join(text[start : start + GROUP] for start in range(0, len(text), GROUP))


def canonical(typed: str) -> str:
    """What is stretched: a generated key without its hyphens and in capitals, any other key as typed."""
    text = unicodedata.normalize("NFC", typed.strip())
    bare = re.sub(r"[\s-]", "", text).upper()
    return bare if _GENERATED.fullmatch(bare) else text


def set_inter_appliance_key(typed: str) -> InterApplianceKey:
    """Keep this key as the inter-appliance key of this appliance; the one before is gone.

    Raises:
        ValidationError: the key is too weak; the texts say why. The key before stays.
    """
    text = canonical(typed)
    if problems := key_strength.problems(text):
        raise ValidationError(problems)
    key = stretch(text)
    row = InterApplianceKey.load()
    row.sealed_key = secrets.seal(key, KEY_LABEL)
    row.key_id = key_id(key)
    row.set_at = timezone.now()
    row.save()
    return row


def stretch(text: str) -> bytes:
    """The 32 bytes that are kept of a key."""
    cost = getattr(settings, "INTER_APPLIANCE_KEY_SCRYPT_N", SCRYPT_N)
    return hashlib.scrypt(
        text.encode(),
        salt=f"ia-key/v1|{settings.PRODUCT}".encode(),
        n=cost,
        r=SCRYPT_R,
        p=SCRYPT_P,
        maxmem=2 * 128 * SCRYPT_R * cost,
        dklen=KEY_BYTES,
    )


def inter_appliance_secret() -> bytes | None:
    """The stretched key of this appliance, or None while none is set.

    Raises:
        SecretUnreadable: the data key of this appliance does not open it.
    """
    row = selectors.inter_appliance_key()
    return secrets.unseal(bytes(row.sealed_key), KEY_LABEL) if row else None


def derive(key: bytes, purpose: str, *, salt: bytes = b"", length: int = KEY_BYTES) -> bytes:
    """A key for one purpose (HKDF-SHA-256)."""
    return HKDF(algorithm=SHA256(), length=length, salt=salt or None, info=purpose.encode()).derive(key)


def key_id(key: bytes) -> str:
    """16 hex digits that are equal where the keys are equal, and tell nothing else."""
    return derive(key, "id")[:KEY_ID_BYTES].hex()
