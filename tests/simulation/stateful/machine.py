"""The machine: what may happen to the pair, and what is looked at after each step."""

from __future__ import annotations

import gc
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any, ClassVar

from blake3 import blake3
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, precondition, rule

from appliances import blobs
from sync import crash
from sync.datasync import tombstones
from sync.models import ServedSync, SyncRun
from tests.simulation.schedules.appliances import NAMES, Appliance, here, on
from tests.simulation.schedules.healing import unequal
from tests.simulation.schedules.world import Violation
from tests.simulation.stateful import pair as hands
from tests.simulation.stateful.model import Model, Row, View
from tests.simulation.stateful.pair import Cut, Meeting, Pair, content_of

WHOLE = "whole examples"  # Hypothesis gives some up half-way, which it does not count
COLLECTED_EACH = 50
DAY = 86_400.0
MOST_MENDING = 6  # data-syncs in the end; each may stop at one more thing that somebody has to agree to

names = st.sampled_from(["anna", "bert", "carl", "dora"])
groups = st.sampled_from(["g", "h"])
numbers = st.integers(0, 9)
contents = st.tuples(numbers, st.booleans())
sides = st.sampled_from([0, 1])
points = st.sampled_from(crash.SYNC)
ends = st.sampled_from(["process", "programs", "power"])
CONTENTS = {
    blake3(one).hexdigest(): one for one in (content_of(n, large) for n in range(10) for large in (False, True))
}
cuts = st.builds(Cut, st.integers(0, 6), st.integers(0, 100), st.sampled_from(["answer", "question", "flip"]))


def _has_news(machine: TwoAppliances) -> bool:
    """Whether anything happened since the last data-sync that ended well: else another one would only take time."""
    return machine.is_new


class TwoAppliances(RuleBasedStateMachine):
    """Two appliances that were just paired, or have had their first data-sync."""

    pair: ClassVar[Pair]
    did: ClassVar[Counter[str]] = Counter()

    accounts = Bundle("accounts")
    files = Bundle("files")
    sessions = Bundle("sessions")

    @initialize(is_founding=st.booleans())
    def begin(self, is_founding: bool) -> None:
        """The beginning is the truth."""
        self.pair.begin(is_founding=is_founding)
        primary, backup = self._views()
        self.model = Model([backup.version, primary.version], {primary.name: 1, backup.name: 0})
        self.is_new = True
        self.did["examples"] += 1
        if self.did["examples"] % COLLECTED_EACH == 0:
            gc.collect()

    def _views(self) -> tuple[View, View]:
        one, other = self.pair.world.appliances
        return View(one), View(other)

    @invariant()
    def nothing_is_lost_or_mixed(self) -> None:
        """After each step."""
        if not hasattr(self, "model"):
            return
        self.did["steps"] += 1
        self.model.check(*self._views())
        if self.pair.world.errors and not self.model.damaged:
            raise Violation(f"an error was logged: {self.pair.world.errors[0]}")

    # --- settings -------------------------------------------------------------------------------------------------

    def _save(self, act: Callable[..., object], *given: Any, **more: Any) -> None:
        """A change on the primary, if one serves; the newest version is what it holds then."""
        primary = self.pair.primary
        if primary is not None and not primary.database.in_atomic_block:
            with on(primary):
                act(*given, **more)
            self.model.save(primary.name, View(primary).version)
            self.is_new = True

    @rule(target=accounts, name=names, email=numbers)
    def account(self, name: str, email: int) -> str:
        """An account is added or changed."""
        self._save(hands.put_account, name, f"{email}@example.com")
        return name

    @rule(name=accounts, other=names)
    def account_is_renamed(self, name: str, other: str) -> None:
        """Perhaps to a name that another account has, which gets this one's."""
        self._save(hands.rename_account, name, other)

    @rule(name=accounts, group=groups)
    def account_joins(self, name: str, group: str) -> None:
        """A group is made, if need be."""
        self._save(hands.join_group, name, group)

    @rule(name=consumes(accounts))
    def account_goes(self, name: str) -> None:
        """With its memberships."""
        self._save(hands.drop_account, name)

    @rule(group=groups)
    def group_goes(self, group: str) -> None:
        """Its members stay."""
        self._save(hands.drop_group, group)

    @rule(text=numbers)
    def portal(self, text: int) -> None:
        """The portal says something else."""
        self._save(hands.put_portal, f"text {text}")

    @rule(target=files, name=names, content=contents, is_new_row=st.booleans())
    def file(self, name: str, content: tuple[int, bool], is_new_row: bool) -> str:
        """A file of the file store is added or replaced."""
        self._save(hands.put_file, name, content_of(*content), is_new_row=is_new_row)
        return name

    @rule(name=consumes(files))
    def file_goes(self, name: str) -> None:
        """Its row; its bytes are swept later."""
        self._save(hands.drop_file, name)

    # --- sessions, logs, recordings -------------------------------------------------------------------------------

    def _add(self, side: int, key: str, row: Row) -> None:
        self.model.add(NAMES[side], key, row)
        self.is_new = True

    @rule(target=sessions, side=sides, age_days=st.sampled_from([0, 40, 400]), is_open=st.booleans())
    def session(self, side: int, age_days: int, is_open: bool) -> str:
        """A session that has ended, or goes on."""
        with on(self.pair.world.appliances[side]):
            key = hands.begin_session("c", age_days, is_open=is_open)
        self._add(side, key, Row(key, "c"))
        if is_open:
            self.model.open.add(key)
        return key

    @rule(key=sessions)
    def session_ends(self, key: str) -> None:
        """It can be moved now."""
        for appliance in self.pair.world.appliances:
            if key in self.model.open and key in self.model.there[appliance.name]:
                with on(appliance):
                    hands.end_session(key)
                self.model.open.discard(key)
                self.is_new = True

    @rule(key=sessions, side=sides, text=numbers)
    def event(self, key: str, side: int, text: int) -> None:
        """A line of a session's log, on either appliance, where the session was not deleted."""
        if not self.model.is_deleted(key, NAMES[side]):
            with on(self.pair.world.appliances[side]):
                made = hands.add_event(key, f"line {text}")
            self._add(side, made, Row(key, f"line {text}"))

    @rule(key=sessions, side=sides, content=contents)
    def recording(self, key: str, side: int, content: tuple[int, bool]) -> None:
        """A recording of a session."""
        if not self.model.is_deleted(key, NAMES[side]):
            with on(self.pair.world.appliances[side]):
                made, blob_id = hands.add_recording(key, "r", content_of(*content))
            self._add(side, made, Row(key, "r", blob_id))
            self.model.damaged.discard((NAMES[side], blob_id))

    @rule(key=sessions, side=sides, is_whole=st.booleans())
    def deletion(self, key: str, side: int, is_whole: bool) -> None:
        """A session, or the first recording of it, is deleted for good."""
        name = NAMES[side]
        found = [key] if is_whole else [one for one in self.model.there[name] if self._is_recording_of(key, one)]
        if found and min(found) in self.model.there[name]:
            with on(self.pair.world.appliances[side]):
                hands.delete(tombstones.SESSION if is_whole else tombstones.RECORDING, min(found))
            self.model.delete(name, min(found))
            self.is_new = True

    def _is_recording_of(self, session: str, key: str) -> bool:
        row = self.model.rows[key]
        return row.session == session and bool(row.blob_id)

    @rule(days=st.sampled_from([30, 300]))
    def retention(self, days: int) -> None:
        """Sessions are kept for so long; what is older goes in the next housekeeping."""
        self._save(hands.keep_sessions, days)

    @rule(side=sides, days=st.sampled_from([0, 2]))
    def housekeeping(self, side: int, days: int) -> None:
        """Days later: what is past its time goes, and then the files of what went."""
        self.pair.world.pass_time(days * DAY)
        self._tidy(self.pair.world.appliances[side])

    def _tidy(self, appliance: Appliance) -> None:
        with on(appliance):
            due = hands.past_time()
        self.pair.tidy(appliance)
        for key in due & View(appliance).deleted:
            self.model.delete(appliance.name, key)
            self.is_new = True

    @rule(side=sides, share=st.integers(0, 99), at=st.integers(0, 99))
    def damage(self, side: int, share: int, at: int) -> None:
        """The disk spoils one byte of a stored file."""
        view = self._views()[side]
        found = sorted(view.blobs.items())
        if found:
            blob_id, place = found[len(found) * share // 100]
            content = bytearray(place.read_bytes())
            content[len(content) * at // 100] ^= 1
            place.write_bytes(content)
            self.model.damaged.add((view.name, blob_id))
            self.is_new = True

    # --- data-syncs and roles -------------------------------------------------------------------------------------

    @property
    def _backup(self) -> Appliance | None:
        primary = self.pair.primary
        return self.pair.world.peer_of(primary) if primary is not None else None

    def _sync(self) -> str | None:
        """The code of what ended a data-sync, and None where nobody can pull one."""
        backup = self._backup
        if backup is None:
            return None
        self.did["data-syncs"] += 1
        code = self.pair.sync(backup)
        self.did[f"ended {code or 'well'}"] += 1
        self.is_new = code != ""
        return code

    @precondition(_has_news)
    @rule()
    def data_sync(self) -> None:
        """Nobody disturbs it: it ends well, or waits for somebody's leave."""
        code = self._sync()
        if code == "":
            self.model.check_equal(*self._views())
        elif code is not None and not self.pair.allow() and not self.model.damaged:
            raise Violation(f"an undisturbed data-sync ended: {code}")

    @precondition(_has_news)
    @rule(cut=cuts)
    def data_sync_is_cut(self, cut: Cut) -> None:
        """The line breaks, or spoils a byte."""
        self.pair.cut = Cut(cut.after, cut.share, cut.how)
        self._sync()
        self.pair.cut = None

    @precondition(_has_news)
    @rule(point=points, how=ends)
    def data_sync_is_killed(self, point: str, how: str) -> None:
        """Whoever comes by this point dies there."""
        self.pair.meeting = Meeting(point, 1, lambda: self.pair.end(here(), how))
        self._sync()
        self.pair.meeting = None
        self.pair.revive(how)

    @precondition(_has_news)
    @rule(point=points, what=st.sampled_from(["a setting", "a file", "a session", "housekeeping"]), number=numbers)
    def data_sync_meets(self, point: str, what: str, number: int) -> None:
        """Something is written on the primary in the middle of it."""
        self.pair.meeting = Meeting(point, 1, lambda: self._meet(what, number))
        self._sync()
        self.pair.meeting = None

    def _meet(self, what: str, number: int) -> None:
        primary = self.pair.primary
        if primary is None or primary.database.in_atomic_block:
            return
        if what == "a setting":
            self._save(hands.put_account, "emil", f"{number}@example.com")
        elif what == "a file":
            self._save(hands.put_file, "emil", content_of(number, number % 2 == 0), is_new_row=False)
        elif what == "a session":
            self.session(primary.side, 400, is_open=False)
        else:
            self._tidy(primary)

    @rule(point=st.integers(0, 40), how=ends)
    def swap(self, point: int, how: str) -> None:
        """The roles are swapped; whoever comes by the n-th of all named points dies there."""
        backup = self._backup
        if backup is None or not self.pair.is_settled:
            return
        if point:
            self.pair.meeting = Meeting("", point, lambda: self.pair.end(here(), how))
        self.pair.swap(backup)
        self.pair.revive(how)
        self.is_new = True
        self.did["swaps"] += backup is self.pair.primary
        if not point and backup is self.pair.primary:
            self.model.check_equal(*self._views())

    @rule(side=sides, how=st.sampled_from(["programs", "power"]))
    def restart(self, side: int, how: str) -> None:
        """An appliance is switched off and on."""
        self.pair.stage.kill(self.pair.world.appliances[side], power=how == "power")
        self.pair.revive(how)

    # --- the end --------------------------------------------------------------------------------------------------

    def teardown(self) -> None:
        """One undisturbed data-sync, and both hold the same. Damaged files are repaired before it, or stored again."""
        if not hasattr(self, "model") or sys.exc_info()[0] is not None:
            return
        self.pair.settle()
        self._repair()
        code = self._sync()
        for _ in range(MOST_MENDING):
            if code == "" or not self.pair.allow():
                break
            code = self._sync()
        if code != "":
            raise Violation(f"in the end a data-sync ended: {code}")
        self.model.check_equal(*self._views())
        self._check_roots()
        self.did[WHOLE] += 1

    def _repair(self) -> None:
        """The repair fetches what the other one has; what neither has is stored again."""
        if not self.model.damaged:
            return
        views, is_whole = self._views(), self.model.is_whole
        lacking = [{one for one in view.wanted_blobs if not is_whole(view, one)} for view in views]
        for view, its, others in zip(views, lacking, lacking[::-1], strict=True):
            self.pair.mend(view.appliance, sorted(its))
            for blob_id in sorted(its):
                is_there = blob_id not in others and is_whole(views[1 - view.appliance.side], blob_id)
                if is_there and not is_whole(view, blob_id):
                    raise Violation(f"{view.name} has not repaired a file that the other one has: {blob_id[:12]}")
        for view, its in zip(views, lacking, strict=True):
            for blob_id in sorted(its):
                with on(view.appliance):
                    blobs.store([CONTENTS[blob_id]])
                self.model.damaged.discard((view.name, blob_id))

    def _check_roots(self) -> None:
        backup, primary = self._backup, self.pair.primary
        assert backup is not None
        assert primary is not None
        with on(backup):
            run = SyncRun.objects.latest("started_at")
        with on(primary):
            served = ServedSync.objects.filter(pk=run.pk).first()  # none is made where there was nothing to do
        if not run.root or (served is not None and run.root != served.root) or unequal(self.pair.stage):
            raise Violation(f"the roots differ: {run.root}, {served and served.root}, {unequal(self.pair.stage)}")
