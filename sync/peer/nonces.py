"""Nonces and challenges in the database: each is good once, in every process of this appliance and after a restart."""

from __future__ import annotations

import datetime as dt
import os
import re

from django.db import IntegrityError, transaction
from django.utils import timezone

from sync.models import Nonce

NONCE_BYTES = 16
CHALLENGE_BYTES = 32
NONCE_LIFE = dt.timedelta(minutes=10)  # a message is accepted within 300 s of its time, either way
CHALLENGE_LIFE = dt.timedelta(seconds=60)
PRUNE_AT = "00"  # nonces are random: one in 256 tidies up

_NONCE = re.compile(rf"[0-9a-f]{{{2 * NONCE_BYTES}}}")


def new_nonce() -> str:
    """16 random bytes as hex digits."""
    return os.urandom(NONCE_BYTES).hex()


def is_nonce(value: str) -> bool:
    """Whether this is what `new_nonce` gives: 32 hex digits."""
    return _NONCE.fullmatch(value) is not None


def give_challenge() -> str:
    """A new challenge (32 random bytes as hex digits) that a message to this appliance may use once within 60 s."""
    value = os.urandom(CHALLENGE_BYTES).hex()
    remember_challenge(value)
    return value


def remember_challenge(value: str) -> None:
    """`value` may be used once within 60 s."""
    Nonce.objects.create(value=value, is_challenge=True, expires_at=timezone.now() + CHALLENGE_LIFE)


def spend_challenge(value: str) -> bool:
    """Whether this challenge was given out and is unused and fresh; afterwards it is used."""
    spent, _ = Nonce.objects.filter(value=value, is_challenge=True, expires_at__gt=timezone.now()).delete()
    return spent == 1


def spend_nonce(value: str) -> bool:
    """Whether this request nonce was never seen before; afterwards it was."""
    try:
        with transaction.atomic():
            Nonce.objects.create(value=value, expires_at=timezone.now() + NONCE_LIFE)
    except IntegrityError:
        return False
    if value.endswith(PRUNE_AT):
        prune()
    return True


def prune() -> int:
    """Forget what has expired; the number forgotten."""
    return Nonce.objects.filter(expires_at__lt=timezone.now()).delete()[0]
