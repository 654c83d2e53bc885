"""What the database answers where synchronised settings are to be changed on an appliance that may not change them.

The role is asked for before a page is shown and before it is saved; it can be lost between that and the commit. So the
triggers of `sync.datasync.triggers` ask once more in the transaction of every change, and refuse it with this sentence.
"""

from __future__ import annotations

from django.db import IntegrityError

REFUSAL = "Settings are changed on the primary only, and this appliance may not change them now. Nothing was changed."


def is_refused(error: BaseException) -> bool:
    """Whether it says that settings may not be changed here."""
    return isinstance(error, IntegrityError) and REFUSAL in str(error)
