"""What happens to the pair: what clients, operators, workers and the machines themselves do.

Each act is what a page, a task or a start of the product does, by the same functions. What a page refuses is no error.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any

from blake3 import blake3
from django.db import DatabaseError, transaction
from django.utils import timezone

from appliances import blobs, gate, selectors
from appliances.choices import Role
from appliances.models import (
    Account,
    BackupSettings,
    EmailConfiguration,
    FileStoreFile,
    Recording,
    SessionEvent,
    SupportSession,
)
from sync import cycle, role_changes, tasks
from sync.errors import SyncError
from sync.rules.role import UnknownEdge
from tests.simulation.schedules.appliances import Appliance, Waits, here, put
from tests.simulation.schedules.network import Line, deliver
from tests.simulation.schedules.seams import DiskFull, Outage
from tests.simulation.schedules.truth import Truth, local_of
from tests.simulation.schedules.world import World

REFUSALS = (SyncError, UnknownEdge, DatabaseError, OSError, blobs.BlobError)
TASKS: dict[str, Any] = {
    "sync.pull_data": tasks.pull_data,
    "sync.drive": tasks.drive,
    "sync.count_differences": tasks.count_differences,
}

Row = SupportSession | SessionEvent | Recording
KINDS = {SupportSession: "session", SessionEvent: "event", Recording: "recording"}


@dataclass
class Stage:
    """Where everything happens."""

    world: World
    truth: Truth
    is_armed: bool = False
    did: Counter[str] = field(default_factory=Counter)
    sent: list[tuple[list[Row], bytes]] = field(default_factory=list)  # sessions, by clients

    def run(self, appliance: Appliance, name: str, act: Callable[[], object]) -> None:
        """An act on an appliance; a refusal is shown to whoever asked and is no error."""

        def tried() -> None:
            try:
                act()
            except REFUSALS as error:
                self.world.note(f"   {here().name}: refused: {str(error)[:150]}")

        if self.world.now < appliance.stopped_until:
            return
        self.world.run(appliance, name, tried)
        self.truth.look()

    # --- by itself ------------------------------------------------------------------------------------------------

    def turn(self, appliance: Appliance) -> None:
        """One turn of the keeper."""

        def act() -> None:
            pulse = here().pulse
            if pulse.turning.locked():
                raise Waits
            put(tasks, "_pulse", pulse)
            tasks.turn()

        for one in self.world.appliances:
            self._sentry(one)
        self._unseen(appliance, "turn", act)

    def _sentry(self, appliance: Appliance) -> None:
        """What looks at the clock beside the turns has stopped a primary whose time is over."""
        limit = appliance.pulse.limit
        if limit is not None and self.world.now + appliance.boot_offset > limit:
            self._unseen(appliance, "sentry", lambda: cycle.between_turns(here().pulse))

    def _unseen(self, appliance: Appliance, name: str, act: Callable[[], object]) -> None:
        """An act that nobody waits for: the keeper and the workers go on after a disk that was full."""

        def tried() -> None:
            try:
                act()
            except DiskFull as error:
                self.world.note(f"   {here().name}: failed: {error}")

        if self.world.now >= appliance.stopped_until:
            self.world.run(appliance, name, tried)
            self.truth.look()

    def work(self, appliance: Appliance) -> None:
        """A worker takes what waits in the queue."""
        waiting, appliance.queue = appliance.queue, []
        for name, args in dict.fromkeys(waiting):
            if name in TASKS:
                self._unseen(appliance, name, partial(TASKS[name], *args))

    def turns(self, seconds: float, *, works: bool = True) -> None:
        """One turn of each, and what they ask the workers for."""
        self.world.pass_time(seconds)
        for appliance in self.world.appliances:
            self.turn(appliance)
        if works:
            for appliance in self.world.appliances:
                self.work(appliance)

    def tidy(self, appliance: Appliance) -> None:
        """The daily housekeeping."""
        self.run(appliance, "housekeeping", tasks.housekeeping)

    # --- clients --------------------------------------------------------------------------------------------------

    def change(self, appliance: Appliance, chance: Random) -> None:
        """Somebody saves a setting on a page; what the page confirms is true from then on."""
        mark = f"{chance.randrange(16**8):08x}"
        what = chance.choice((_site, _email, _account, _account, _drop_account, _upload, _upload, _drop_file))

        def act() -> None:
            allowed = gate.read()
            if not allowed.is_writable or allowed.operation_running:
                return
            self.world.event()  # the form is on its way through the middleware
            if what is _upload:
                blobs.store([mark.encode()])
            with transaction.atomic():
                if what(mark):  # with the commit it is accepted, whatever happens before the page says so
                    self.truth.acknowledge(here(), mark if what not in (_drop_account, _drop_file) else "")

        self.run(appliance, f"saves a setting: {what.__name__[1:]} {mark}", act)

    def session(self, appliance: Appliance, chance: Random) -> None:
        """A support session takes place, with its log, and perhaps a recording."""
        content = chance.randbytes(chance.choice((1, 20, 300)))
        is_recorded, is_ended = chance.random() < 0.6, chance.random() < 0.8
        lines = chance.randrange(1, 4)

        def act() -> None:
            if gate.read().is_serving:
                self.sent.append(_sent(lines, content if is_recorded else None, is_ended=is_ended))
                self._bring_in(*self.sent[-1])

        self.run(appliance, "a support session", act)

    def send_again(self, appliance: Appliance, chance: Random) -> None:
        """A client sends a session again under the same ids, as after a cut or to a new primary."""
        if not self.sent:
            return
        rows, content = chance.choice(self.sent[-3:])

        def act() -> None:
            if gate.read().is_serving:
                self._bring_in(rows, content)

        self.run(appliance, "a support session is sent again", act)

    def _bring_in(self, rows: Sequence[Row], content: bytes) -> None:
        for row in rows:
            if isinstance(row, Recording):
                blobs.store([content])
            if not type(row).objects.filter(pk=row.pk).exists():
                copy(row).save(force_insert=True)
            if not isinstance(row, SupportSession) or row.ended_at:
                self.truth.rows[KINDS[type(row)]].add(row.pk.hex)

    # --- operators ------------------------------------------------------------------------------------------------

    def press(self, appliance: Appliance, target: Role, *, final: bool, force: bool) -> None:
        """Become Primary or Become Backup."""

        def act() -> None:
            change = role_changes.request(
                target, want_final_sync=final, without_peer=force, accepts_loss=True, requested_by="anna"
            )
            if change.kind != "switchover":
                self.truth.decide()
            tasks.start_role_change(change)

        if force:
            self.truth.decide()
        elif not final:
            self.truth.give_up_settings()
        words = f"{'with' if final else 'without'} data-sync{', by force' if force else ''}"
        self.run(appliance, f"anna presses Become {target.label}, {words}", act)

    def cancel(self, appliance: Appliance) -> None:
        """Cancel."""
        self.run(appliance, "anna presses Cancel", lambda: role_changes.cancel("anna"))

    def fix(self, appliance: Appliance) -> None:
        """Fix This Error, confirmed."""

        def act() -> None:
            role_changes.fix("anna")
            tasks.sync_now("anna")

        self.truth.decide()
        self.run(appliance, "anna presses Fix This Error", act)

    def sync_now(self, appliance: Appliance) -> None:
        """Sync Now."""
        self.run(appliance, "anna presses Sync Now", lambda: tasks.sync_now("anna"))

    def wish(self, appliance: Appliance, **wishes: Any) -> None:
        """Backup settings are saved."""

        def act() -> None:
            with transaction.atomic():
                row = BackupSettings.load()
                for name, value in wishes.items():
                    setattr(row, name, value)
                row.save()

        if wishes.get("enable_automatic_failover"):
            self.truth.is_planned_only, self.is_armed = False, True
        self.run(appliance, f"backup settings: {wishes}", act)
        self.truth.local[appliance.name] = local_of(appliance)

    # --- the machines ---------------------------------------------------------------------------------------------

    def kill(self, appliance: Appliance, *, power: bool) -> None:
        """All programs are killed, or the power fails: then what was not made durable is gone too."""
        if not appliance.is_up:
            return
        self.world.note(f"{appliance.name}: {'the power fails' if power else 'is killed'}")
        appliance.is_process_only = not power
        appliance.is_dying = True
        if power:
            for path in appliance.unsynced:
                path.unlink(missing_ok=True)
            appliance.unsynced = set()
            appliance.boot_offset = -self.world.now
            appliance.queue = []
        self.world.bury(appliance)

    def boot(self, appliance: Appliance) -> None:
        """The appliance is started."""
        if not appliance.is_up:
            appliance.is_up = True
            self.run(appliance, "starts", cycle.boot)

    def stop_for(self, appliance: Appliance, seconds: float, *, sleeps: bool) -> None:
        """All programs stand still for a while; where the machine sleeps, its CLOCK_MONOTONIC does too."""
        self.world.note(f"{appliance.name}: stands still for {seconds:.0f} s")
        appliance.stopped_until = self.world.now + seconds
        if sleeps:
            appliance.slept += seconds

    def post_late(self, chance: Random) -> None:
        """A message that was under way for a while arrives; nobody waits for the answer."""
        if Line.waiting:
            sent = Line.waiting.pop(chance.randrange(len(Line.waiting)))
            self._post(sent, "late")

    def post_again(self, chance: Random) -> None:
        """A message that has arrived before arrives again."""
        if Line.seen:
            self._post(chance.choice(Line.seen), "again")

    def _post(self, sent: Any, how: str) -> None:
        peer = self.world.peer_of(sent[0])
        if peer.is_up and self.world.now >= peer.stopped_until:
            self.world.note(f"{sent[1]} of {sent[0].name} arrives {how}")
            deliver(self.world, sent)
            self.truth.look()

    def refuse_writes(self, count: int, *, database: bool) -> None:
        """The disk is full for so many writes."""
        if database:
            Outage.database = count
        else:
            Outage.files = count


def _sent(lines: int, recorded: bytes | None, *, is_ended: bool) -> tuple[list[Row], bytes]:
    """A session as a client sends it, with the bytes of its recording."""
    now = timezone.now()
    session = SupportSession(started_at=now, ended_at=now if is_ended else None, account_name="anna", customer_name="c")
    rows: list[Row] = [session]
    rows += [SessionEvent(session_id=session.pk, at=now, kind="chat", text=f"line {number}") for number in range(lines)]
    if recorded is not None:
        facts = {"duration": dt.timedelta(seconds=3), "size_bytes": len(recorded)}
        blob_id = blake3(recorded).hexdigest()
        rows.append(Recording(session_id=session.pk, name="screen", started_at=now, blob_id=blob_id, **facts))
    return rows, recorded or b""


def _site(mark: str) -> bool:
    row = selectors.site()
    row.portal_text = mark
    row.save()
    return True


def _email(mark: str) -> bool:
    row = EmailConfiguration.load()
    row.username, row.password = mark, mark
    row.save()
    return True


def _account(mark: str) -> bool:
    Account.objects.create(username=f"u{mark}", password="!")
    return True


def _drop_account(mark: str) -> bool:
    return bool(Account.objects.filter(is_superuser=False).order_by("pk")[:1].values_list("pk", flat=True)) and bool(
        Account.objects.filter(pk=Account.objects.filter(is_superuser=False).earliest("pk").pk).delete()[0]
    )


def _upload(mark: str) -> bool:
    blob_id = blake3(mark.encode()).hexdigest()
    FileStoreFile.objects.create(name=mark, blob_id=blob_id, size_bytes=len(mark))
    return True


def _drop_file(mark: str) -> bool:
    first = FileStoreFile.objects.order_by("name").first()
    return first is not None and bool(first.delete()[0])
