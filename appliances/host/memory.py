"""What the C library does with freed memory."""

from __future__ import annotations

import ctypes
from contextlib import suppress

# Of malloc.h. Blocks of a megabyte come and go by the thousand while files are copied: given back and asked for anew,
# each would be 256 page faults.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_REUSED_BYTES = 4 << 20  # blocks up to this size are reused
_KEPT_BYTES = 32 << 20  # so much of freed memory is kept for that


def reuse_blocks() -> None:
    """Blocks of some megabytes are reused instead of asked for anew; nothing where the C library has no such wish."""
    with suppress(AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, _REUSED_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
