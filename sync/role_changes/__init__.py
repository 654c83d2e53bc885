"""Change roles: request, drive, cancel, and the answering side of it.

The backup drives a planned swap (it has the data-sync to do); the primary only answers. The role journal decides, the
`RoleChange` row is the readable record: interrupted before the yield it is cancelled, after it completed.

    pressed on the backup    request() -> drive()
    pressed on the primary   request() -> SwapWish -> the backup's answer_swap_wish() -> drive()
    drive()                  pull (still serving) -> HandoverRequest -> Offer -> pull (drained) -> Ready -> Grant
"""

from sync.role_changes.answers import (
    answer_cancel,
    answer_demote,
    answer_grant,
    answer_handover,
    answer_promote,
    answer_ready,
    answer_status,
    answer_swap_wish,
)
from sync.role_changes.drive import drive, is_driven
from sync.role_changes.fix import Proposal, answer_evidence, fix, propose
from sync.role_changes.record import end_if_over, has, look, running, take_in, wait
from sync.role_changes.requests import cancel, request

__all__ = [
    "Proposal",
    "answer_cancel",
    "answer_demote",
    "answer_evidence",
    "answer_grant",
    "answer_handover",
    "answer_promote",
    "answer_ready",
    "answer_status",
    "answer_swap_wish",
    "cancel",
    "drive",
    "end_if_over",
    "fix",
    "has",
    "is_driven",
    "look",
    "propose",
    "request",
    "running",
    "take_in",
    "wait",
]
