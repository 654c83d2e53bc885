"""Where an appliance is made to die in which flow, and how the pair stands afterwards (role-protocol.md, 2.8)."""

from __future__ import annotations

from dataclasses import dataclass

SWAPPED, AS_BEFORE = "swapped", "as before"
PRIMARY, BACKUP = "primary", "backup"  # the role at the beginning
PROCESS, WHOLE = "process", "appliance"


@dataclass(frozen=True)
class Case:
    """One crash: which side dies at which point, one process or all of it, and how the flow ends."""

    side: str
    point: str
    how: str
    ends: str

    def __str__(self) -> str:
        return f"{self.side} {self.how} at {self.point}"


# A swap with a data-sync, pressed on the backup. Before the primary gave its role up (row 10), a message that is not
# answered ends the swap; what the backup does alone is taken up again; from row 10 on the swap is completed.
SWAP = (
    Case(BACKUP, "pull begun", PROCESS, SWAPPED),
    Case(BACKUP, "pull rows staged", WHOLE, SWAPPED),
    Case(BACKUP, "apply uncommitted", PROCESS, SWAPPED),
    Case(BACKUP, "apply durable", WHOLE, SWAPPED),
    Case(BACKUP, "pull durable", PROCESS, SWAPPED),
    Case(BACKUP, "row.13 before", PROCESS, AS_BEFORE),
    Case(BACKUP, "row.13 before", WHOLE, AS_BEFORE),
    Case(BACKUP, "row.13 durable", PROCESS, SWAPPED),
    Case(BACKUP, "row.13 durable", WHOLE, SWAPPED),
    Case(BACKUP, "row.14 before", PROCESS, SWAPPED),
    Case(BACKUP, "row.14 before", WHOLE, SWAPPED),
    Case(BACKUP, "row.14 durable", PROCESS, SWAPPED),
    Case(BACKUP, "row.14 durable", WHOLE, SWAPPED),
    Case(BACKUP, "answer.Grant", PROCESS, SWAPPED),
    Case(BACKUP, "answer.Grant", WHOLE, SWAPPED),
    Case(PRIMARY, "source snapshot written", PROCESS, AS_BEFORE),
    Case(PRIMARY, "source push durable", WHOLE, AS_BEFORE),
    Case(PRIMARY, "row.8 before", PROCESS, AS_BEFORE),
    Case(PRIMARY, "row.8 before", WHOLE, AS_BEFORE),
    Case(PRIMARY, "row.8 durable", PROCESS, AS_BEFORE),
    Case(PRIMARY, "row.8 durable", WHOLE, AS_BEFORE),
    Case(PRIMARY, "effect.DisconnectClients before", PROCESS, AS_BEFORE),
    Case(PRIMARY, "effect.DisconnectClients after", WHOLE, AS_BEFORE),
    Case(PRIMARY, "answer.HandoverRequest", PROCESS, AS_BEFORE),
    Case(PRIMARY, "answer.HandoverRequest", WHOLE, AS_BEFORE),
    Case(PRIMARY, "row.10 before", PROCESS, SWAPPED),
    Case(PRIMARY, "row.10 before", WHOLE, AS_BEFORE),
    Case(PRIMARY, "row.10 durable", PROCESS, SWAPPED),
    Case(PRIMARY, "row.10 durable", WHOLE, SWAPPED),
    Case(PRIMARY, "effect.SendGrant before", PROCESS, SWAPPED),
    Case(PRIMARY, "effect.SendGrant before", WHOLE, SWAPPED),
    Case(PRIMARY, "effect.SendGrant after", PROCESS, SWAPPED),
    Case(PRIMARY, "effect.SendGrant after", WHOLE, SWAPPED),
    Case(PRIMARY, "answer.Ready", PROCESS, SWAPPED),
    Case(PRIMARY, "answer.Ready", WHOLE, SWAPPED),
    Case(PRIMARY, "row.11 before", PROCESS, SWAPPED),
    Case(PRIMARY, "row.11 durable", WHOLE, SWAPPED),
)

# A swap without a data-sync, pressed on the primary.
SWAP_FROM_PRIMARY = (
    Case(BACKUP, "answer.SwapWish", PROCESS, AS_BEFORE),
    Case(BACKUP, "answer.SwapWish", WHOLE, AS_BEFORE),
    Case(PRIMARY, "row.8 durable", PROCESS, AS_BEFORE),
    Case(PRIMARY, "row.10 durable", WHOLE, SWAPPED),
    Case(BACKUP, "row.14 durable", PROCESS, SWAPPED),
)

# A data-sync by Sync Now. The roles are never touched, and the next data-sync goes on from there.
SYNC = (
    Case(BACKUP, "pull begun", WHOLE, AS_BEFORE),
    Case(BACKUP, "pull manifest", PROCESS, AS_BEFORE),
    Case(BACKUP, "pull rows staged", PROCESS, AS_BEFORE),
    Case(BACKUP, "pull blobs staged", PROCESS, AS_BEFORE),
    Case(BACKUP, "pull merged", WHOLE, AS_BEFORE),
    Case(BACKUP, "pull sent", PROCESS, AS_BEFORE),
    Case(BACKUP, "apply begun", PROCESS, AS_BEFORE),
    Case(BACKUP, "apply uncommitted", WHOLE, AS_BEFORE),
    Case(BACKUP, "apply durable", PROCESS, AS_BEFORE),
    Case(BACKUP, "pull agreed", PROCESS, AS_BEFORE),
    Case(BACKUP, "pull told", PROCESS, AS_BEFORE),
    Case(BACKUP, "pull durable", WHOLE, AS_BEFORE),
    Case(PRIMARY, "source snapshot written", WHOLE, AS_BEFORE),
    Case(PRIMARY, "answer.PullBegin", PROCESS, AS_BEFORE),
    Case(PRIMARY, "source serving rows", PROCESS, AS_BEFORE),
    Case(PRIMARY, "source serving blobs", PROCESS, AS_BEFORE),
    Case(PRIMARY, "source pushed", PROCESS, AS_BEFORE),
    Case(PRIMARY, "source push durable", PROCESS, AS_BEFORE),
    Case(PRIMARY, "answer.PushAppend", WHOLE, AS_BEFORE),
    Case(PRIMARY, "source ended", PROCESS, AS_BEFORE),
    Case(PRIMARY, "answer.PullEnd", PROCESS, AS_BEFORE),
)

# A swap that is cancelled after it was offered. Where nothing of the cancelling was durable, the swap goes on.
CANCEL = (
    Case(BACKUP, "row.15 before", PROCESS, SWAPPED),
    Case(BACKUP, "row.15 durable", WHOLE, AS_BEFORE),
    Case(BACKUP, "effect.SendCancel before", PROCESS, AS_BEFORE),
    Case(BACKUP, "effect.SendCancel after", WHOLE, AS_BEFORE),
    Case(PRIMARY, "row.9 before", PROCESS, AS_BEFORE),
    Case(PRIMARY, "row.9 durable", WHOLE, AS_BEFORE),
    Case(PRIMARY, "answer.Cancel", PROCESS, AS_BEFORE),
    Case(PRIMARY, "row.3 before", PROCESS, AS_BEFORE),
    Case(PRIMARY, "row.3 durable", PROCESS, AS_BEFORE),
)

# The role worker of a backup that takes over by itself.
TAKE_OVER = ("row.19 before", "row.19 durable", "row.20 before", "row.20 durable")
