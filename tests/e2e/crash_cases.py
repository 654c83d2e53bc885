"""Where an appliance is made to die in which flow, and how the pair stands afterwards (role-protocol.md, 2.8)."""

from __future__ import annotations

from dataclasses import dataclass

SWAPPED, AS_BEFORE = "swapped", "as before"
PRIMARY, BACKUP = "primary", "backup"  # the role at the beginning
OLD, NEW = "old", "new"  # of two primaries
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
# answered ends the swap; what the backup does alone is taken up again; from row 10 on the swap is completed. The
# question for a snapshot is asked once more where the connection, used before, is gone, so that swap is completed too.
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
    Case(PRIMARY, "source snapshot written", PROCESS, SWAPPED),
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

# A data-sync by Sync Now, with a folder of the administrator's own at its end. The roles are never touched, and the
# next data-sync goes on from there.
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
    Case(BACKUP, "folder looked", PROCESS, AS_BEFORE),
    Case(BACKUP, "folder staged", WHOLE, AS_BEFORE),
    Case(BACKUP, "folder published", PROCESS, AS_BEFORE),
    Case(BACKUP, "folder deleting", PROCESS, AS_BEFORE),
    Case(BACKUP, "folder told", PROCESS, AS_BEFORE),
    Case(PRIMARY, "source looked", PROCESS, AS_BEFORE),
    Case(PRIMARY, "source serving folder", WHOLE, AS_BEFORE),
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

# Become Primary is pressed while the primary is dead.
BY_HAND = ("row.18 before", "row.18 durable")

# The old primary comes back and holds nothing that the new one lacks; all of it dies at each step. Row 6 comes alone
# where the new primary has asked it, and together with row 30 where it has asked: it does not die between the two here.
RETURN = ("row.2 before", "row.2 durable", "row.6 before", "row.30 before", "row.30 durable")

# The old primary comes back with settings of its own, and waits.
SUPERSEDED = "row.6 durable"

# Become Backup is pressed on a primary whose backup is dead, and once that is back, Become Primary on the same.
STEP_DOWN = ("row.16 before", "row.16 durable")
BOTH_BACKUP = (
    (BACKUP, "row.28 before"),
    (BACKUP, "row.28 durable"),
    (BACKUP, "answer.Demote"),
    (PRIMARY, "row.27 before"),
    (PRIMARY, "row.27 durable"),
)

# Fix This Error beside an old primary that waits: who presses, who dies. The conflict is over after each.
BOTH_PRIMARY = (
    (NEW, NEW, "row.27 stays durable"),
    (OLD, NEW, "row.29 stays before"),
    (OLD, NEW, "row.29 stays durable"),
)
# The old one is backup already, and the new one has not begun its new term: it does so by itself.
DESERTED = ("row.27 stays before", "row.25 before", "row.25 durable")
# The new primary dies, the old one is told to serve again, and the new one waits then and is told to give way.
SERVE_AGAIN = ("row.31 before", "row.31 durable")
GIVE_WAY = ("row.26 superseded before", "row.26 superseded durable")
# The new primary is made backup, then the old one too, and then the new one is handed the role.
NOBODY_SERVES = (
    (NEW, "role-change", NEW, "row.26 before"),
    (NEW, "role-change", NEW, "row.26 durable"),
    (OLD, "fix", OLD, "row.26 deserted before"),
    (OLD, "fix", OLD, "row.26 deserted durable"),
    (OLD, "fix", NEW, "row.29 before"),
    (OLD, "fix", NEW, "answer.Promote"),
)

# The primary gave its role up, the backup lost the grant, and then the primary is told to be primary again, and dies:
# its peer can take the role of this swap no more, and both are backup.
VOID = ("row.27 before", "row.11 void before", "row.11 void durable")
TAKEN_BACK = "row.29 durable"
# The primary gave its role up and is away for minutes; the backup gave the swap up before the grant comes.
LATE = ("row.14 late before", "row.14 late durable")

# An armed pair at the shortest timeout. The role worker of the primary dies as it finds itself cut off, and as it
# serves alone; the same with a web server that hangs.
CUT_OFF = ("row.7 durable", "row.4 before", "row.4 durable", "row.7 before")
UNWELL = ("row.7b before", "row.7b durable")
# The primary stood still for the whole timeout, and is back when the backup is about to take over.
STOOD_STILL = ("row.2 lease before", "row.2 lease durable")
GIVEN_UP = ("row.19 durable", "row.21 before", "row.21 durable")

# The relationship is broken, and established anew.
BREAK = ("row.22 before", "row.22 durable", "answer.Break")
ESTABLISH = (
    (BACKUP, "row.1b before"),
    (BACKUP, "row.1b durable"),
    (BACKUP, "answer.Confirm"),
    (PRIMARY, "row.1a before"),
    (PRIMARY, "row.1a durable"),
)


def points() -> set[str]:
    """Every point at which somebody dies on a live pair."""
    told = {case.point for case in (*SWAP, *SWAP_FROM_PRIMARY, *SYNC, *CANCEL)}
    named = {SUPERSEDED, TAKEN_BACK, *TAKE_OVER, *BY_HAND, *RETURN, *STEP_DOWN, *DESERTED, *SERVE_AGAIN, *GIVE_WAY}
    named |= {*VOID, *LATE, *CUT_OFF, *UNWELL, *STOOD_STILL, *GIVEN_UP, *BREAK}
    chained = {case[-1] for case in (*BOTH_BACKUP, *BOTH_PRIMARY, *NOBODY_SERVES, *ESTABLISH)}
    return told | named | chained
