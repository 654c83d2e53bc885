"""What is searched: how much of each thing may happen. `QUICK` is searched by every run of the tests."""

from __future__ import annotations

from sync.rules import events as e
from tests.simulation.search import Configuration

TWO_PRIMARIES = {0: (e.LeaseRanOut("it stood still"), e.ServeAgain(None)), 1: (e.BecomePrimary(None),)}
TWO_BACKUPS = {0: (e.BecomeBackup(None, without_peer=True),)}

QUICK = (
    Configuration("swap", {"swap": 1, "crash": 1, "cancel": 1, "write": 1, "sync": 1}),
    Configuration("swap, late effects", {"swap": 1, "crash": 1}, defers=True),
    Configuration("swap and STATUS", {"swap": 1, "cancel": 1, "status": 1}),
    Configuration("two swaps", {"swap": 2, "crash": 1}),
    Configuration("first data-sync", {"swap": 1, "crash": 1, "write": 1, "sync": 1}, is_synchronised=False),
    Configuration("swap and take-over", {"swap": 1, "promote": 1, "force": 1, "crash": 1, "write": 1}),
    Configuration("swap, take-over, STATUS", {"swap": 1, "promote": 1, "status": 1}),
    Configuration("swap and conflict", {"swap": 1, "press": 1}),
    Configuration("take-over", {"promote": 1, "status": 2, "write": 1, "record": 1, "crash": 1}),
    Configuration("take-over and data-sync", {"promote": 1, "force": 1, "status": 1, "write": 1, "sync": 1}),
    Configuration("superseded, then alone", {"promote": 1, "force": 1, "status": 3}),
    Configuration("both primary", {"promote": 1, "press": 2, "status": 1}),
    Configuration("both backup", {"force": 1, "press": 1, "status": 2}),
    Configuration("a break in a swap", {"swap": 1, "break": 1, "cancel": 1}),
    Configuration("a break after a take-over", {"break": 1, "promote": 1, "status": 2, "crash": 1}),
    Configuration("Fix, both primary", {"promote": 1, "fix": 1, "status": 1}),
    Configuration("Fix, both backup", {"force": 1, "fix": 1, "status": 1, "crash": 1}),
    Configuration("Fix, pressed twice", {"promote": 1, "fix": 2}),
    Configuration("Fix, name leads to A", {"promote": 1, "fix": 1, "write": 1, "status": 1}, site_name=0),
    Configuration("Fix, name leads to B", {"force": 1, "fix": 1, "write": 1, "status": 1}, site_name=1),
    Configuration("Fix of two primaries", {"fix": 1, "status": 1, "crash": 1}, begins=TWO_PRIMARIES),
    Configuration("two primaries, one gives way", {"fix": 1, "status": 3}, begins=TWO_PRIMARIES),
    Configuration("Fix of two backups", {"fix": 2}, begins=TWO_BACKUPS),
    Configuration("Fix, nobody serves", {"promote": 1, "force": 1, "fix": 1, "status": 1}),
    Configuration("Fix or a button", {"promote": 1, "force": 1, "press": 1, "fix": 1}),
    Configuration("nothing by itself", {"promote": 1, "force": 1, "write": 1, "status": 2}, auto_resolve=False),
    Configuration("shared IP", {"swap": 1, "cancel": 1, "crash": 1}, has_address=True),
    Configuration("shared IP, late effects", {"swap": 1, "crash": 1}, has_address=True, defers=True),
    Configuration("shared IP, take-over", {"auto": 1, "isolate": 1, "status": 1}, has_address=True),
    Configuration("automatic", {"auto": 1, "isolate": 1, "swap": 1}),
    Configuration("automatic, data", {"auto": 2, "status": 1, "write": 1, "sync": 1, "record": 1}),
    Configuration("automatic, conflict", {"auto": 1, "isolate": 1, "press": 1}),
    Configuration("automatic, serve again", {"auto": 1, "serve": 1, "status": 2}),
)

LONG = (
    Configuration("swap, all at once", {"swap": 1, "crash": 1, "cancel": 1, "write": 1, "record": 1, "sync": 1}),
    Configuration("both primary, restarts", {"promote": 1, "press": 2, "crash": 1, "status": 1}),
    Configuration("planned", {"swap": 2, "crash": 1, "write": 1}),
    Configuration("planned, late effects", {"swap": 1, "cancel": 1, "status": 1, "crash": 1}, defers=True),
    Configuration("planned and STATUS", {"swap": 1, "cancel": 1, "status": 1, "crash": 1, "write": 1}),
    Configuration("take-overs", {"promote": 2, "force": 1, "status": 1, "write": 1, "sync": 1}),
    Configuration("take-over, data", {"promote": 1, "write": 2, "record": 2, "sync": 2, "status": 1, "crash": 1}),
    Configuration("swap, take-over, conflict", {"swap": 1, "promote": 1, "press": 1}),
    Configuration("Fix, everything", {"promote": 1, "force": 1, "fix": 1, "status": 2}),
    Configuration("two primaries, two Fixes", {"fix": 2}, begins=TWO_PRIMARIES),
    Configuration("two backups, two Fixes", {"fix": 2, "crash": 1}, begins=TWO_BACKUPS),
    Configuration("swap, conflict, STATUS", {"swap": 1, "press": 1, "status": 1}),
    Configuration("Fix and a swap", {"swap": 1, "promote": 1, "fix": 1}),
    Configuration("Fix and restarts", {"promote": 1, "fix": 1, "crash": 2, "status": 1}),
    Configuration("a break, a take-over", {"swap": 1, "promote": 1, "break": 1}),
    Configuration("conflicts", {"promote": 1, "force": 1, "press": 1, "status": 1, "sync": 1}),
)
