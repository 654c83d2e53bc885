"""Two appliances of the schedules' world, in the hands of Hypothesis: it draws what is interrupted, and where."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.contrib.auth.models import Group
from django.db import transaction
from django.utils import timezone

from appliances import blob_partials, blobs, retention
from appliances.choices import FileProblem, Role, State, SyncTrigger
from appliances.models import Account, FileStoreFile, Recording, RetentionSettings, SessionEvent, SupportSession
from appliances.selectors import site
from sync import crash, tasks
from sync.datasync import blob_frames, brake, damaged, fetch, pull, repair, tombstones
from sync.errors import SyncError
from sync.models import BrakeStop
from tests.simulation.schedules import outsiders
from tests.simulation.schedules.acts import Stage
from tests.simulation.schedules.appliances import Appliance, Stopped, here, on, put
from tests.simulation.schedules.healing import heal
from tests.simulation.schedules.network import Answer, Connection, Line, Response
from tests.simulation.schedules.runner import Bench, Options
from tests.simulation.schedules.seams import Outage
from tests.simulation.schedules.templates import Pair as Beginning
from tests.simulation.schedules.truth import Truth, stand_of

SMALL_BYTES, PIECE_BYTES, LARGE_BYTES = 2000, 5000, 24_000
TURNS, TURN_SECONDS = 12, 3.1


@dataclass
class Cut:
    """What befalls the line: after so many answers, at this share of the next one (or of the question), in percent."""

    after: int
    share: int
    how: str  # "answer", "question" or "flip"


@dataclass
class Meeting:
    """What happens when somebody comes by a named point for the n-th time; without a name, by any."""

    name: str
    times: int
    happen: Callable[[], None]


class Pair:
    """Two appliances in this process, for any number of examples."""

    def __init__(self, root: Path) -> None:
        self._bench = Bench(root, Options())
        self.world = self._bench.world
        self.cut: Cut | None = None
        self.meeting: Meeting | None = None
        # Larger files in small: their pieces, what is kept of a cut one, and what is told of an earlier version.
        put(blob_frames, "SMALL_BYTES", SMALL_BYTES)
        put(blob_frames, "BODY_BYTES", PIECE_BYTES)
        put(blob_partials, "LEAST_BYTES", SMALL_BYTES)
        put(fetch, "DIFFED_BYTES", SMALL_BYTES)
        self._meet()
        self._cut()

    def _meet(self) -> None:
        real = crash.point

        def point(name: str) -> None:
            real(name)
            met = self.meeting
            if met is None or met.name not in ("", name):
                return
            met.times -= 1
            if met.times <= 0:
                self.meeting = None
                self.world.note(f"   {here().name}: at “{name}”")
                met.happen()

        put(crash, "point", point)

    def _cut(self) -> None:
        real = Connection.getresponse

        def getresponse(connection: Any) -> Response:
            cut = self.cut
            if cut is None or cut.after:
                if cut is not None:
                    cut.after -= 1
                return real(connection)
            self.cut = None
            asking, target, content, headers = connection._sent
            self.world.note(f"   {target}: {cut}")
            if cut.how == "question":
                connection._sent = asking, target, content[: _at(content, cut.share)], headers
                real(connection)
                raise connection._broken()
            response = real(connection)
            return _spoiled(connection, response, cut)

        put(Connection, "getresponse", getresponse)

    def begin(self, *, is_founding: bool) -> None:
        """Nothing has happened yet, but perhaps the first data-sync."""
        beginnings: tuple[Beginning, Beginning] = self._bench.pairs
        self.cut = self.meeting = None
        self.world.start("bytes")
        Line.start()
        Outage.database = Outage.files = 0
        for appliance, database in zip(self.world.appliances, beginnings[not is_founding].databases, strict=True):
            appliance.fill(database)
        self.stage = Stage(self.world, Truth(self.world))
        outsiders.Site.start(self.stage, set())
        self.world.look = self.stage.truth.look
        self.stage.truth.start()

    # --- roles ----------------------------------------------------------------------------------------------------

    @property
    def primary(self) -> Appliance | None:
        """The one that serves."""
        return next((one for one in self.world.appliances if stand_of(one).state == State.P_ACTIVE), None)

    @property
    def is_settled(self) -> bool:
        """Whether one serves and the other one is its backup."""
        states = sorted(stand_of(one).state for one in self.world.appliances)
        return states == [State.B_IDLE, State.P_ACTIVE] and all(one.is_up for one in self.world.appliances)

    def settle(self) -> None:
        """The machines run, and the turns have found out who serves."""
        self.cut = self.meeting = None
        for appliance in self.world.appliances:
            self.stage.boot(appliance)
        for _ in range(TURNS):
            if self.is_settled:
                return
            self.stage.turns(TURN_SECONDS)
        if not self.is_settled:
            heal(self.stage)

    def end(self, appliance: Appliance, how: str) -> None:
        """A process ends here (the others, and the role, stay), or all programs do, or the power fails."""
        self.stage.kill(appliance, power=how == "power")
        if appliance.is_dying:
            raise Stopped

    def revive(self, how: str) -> None:
        """Who was killed runs again."""
        for appliance in self.world.appliances:
            if not appliance.is_up and how == "process":
                appliance.is_up = True
        self.settle()

    def swap(self, backup: Appliance) -> None:
        """Become Primary is pressed on the backup, with a data-sync; the turns and the workers do the rest."""
        self.stage.press(backup, Role.PRIMARY, final=True, force=False)
        for _ in range(3):
            self.stage.work(backup)
            self.stage.turns(TURN_SECONDS)
            if not any(one.is_up for one in self.world.appliances) or (self.is_settled and self.primary is backup):
                return

    # --- data-syncs -----------------------------------------------------------------------------------------------

    def sync(self, backup: Appliance) -> str:
        """A data-sync; the code of what ended it, "cut off" if the backup was killed in it."""
        codes = ["cut off"]

        def act() -> None:
            try:
                pull.pull_data(SyncTrigger.SYNC_NOW)
            except SyncError as error:
                self.world.note(f"   {here().name}: {error.message} {error}"[:300])
                codes.append(error.code)
            else:
                codes.append("")

        self.world.run(backup, "data-sync", act)
        self.stage.truth.look()
        return codes[-1]

    def allow(self) -> bool:
        """Whether a deletion waits; then somebody has allowed it."""
        is_waiting = False
        for appliance in self.world.appliances:
            with on(appliance):
                for stop in BrakeStop.objects.filter(allowed_at=None):
                    brake.allow(stop.fingerprint, "anna")
                    is_waiting = True
        return is_waiting

    def mend(self, appliance: Appliance, blob_ids: Iterable[str]) -> None:
        """These files, in which the scrub would find another content, are fetched from the other appliance."""
        with on(appliance):
            for blob_id in blob_ids:
                damaged.note(blob_id, FileProblem.CORRUPT)
            repair.mend()

    def tidy(self, appliance: Appliance) -> None:
        """The daily housekeeping."""
        self.stage.run(appliance, "housekeeping", tasks.housekeeping)


def _at(content: bytes, share: int) -> int:
    return min(len(content) - 1, len(content) * share // 100) if content else 0


def _spoiled(connection: Any, response: Response, cut: Cut) -> Response:
    body = response._body.getvalue()
    place = _at(body, cut.share)
    answer = Answer(response.status, dict(response.headers.items()), body)
    if cut.how == "flip" and body:
        spoiled = body[:place] + bytes([body[place] ^ 1]) + body[place + 1 :]
        return Response(Answer(answer.status, answer.headers, spoiled), None)
    if answer.headers.get("Content-Type") == "application/json":
        raise connection._broken()
    return Response(answer, place)


# --- what is written; each runs on the appliance that is `here` ------------------------------------------------------


def content_of(number: int, is_large: bool) -> bytes:
    """Contents of which several begin and end alike."""
    if not is_large:
        return b"%d" % number
    return b"a" * PIECE_BYTES + (b"%06d" % number) * (LARGE_BYTES // 6) + bytes(PIECE_BYTES)


def put_account(name: str, email: str) -> None:
    """The account has this address."""
    Account.objects.update_or_create(username=name, defaults={"email": email, "password": "!"})


def rename_account(name: str, other: str) -> None:
    """The two accounts have each other's name; or the one gets it, where nobody had it."""
    numbers = {one.username: one.pk for one in Account.objects.filter(username__in=[name, other])}
    if name not in numbers or name == other:
        return
    Account.objects.filter(pk=numbers[name]).update(username="in between")
    if other in numbers:
        Account.objects.filter(pk=numbers[other]).update(username=name)
    Account.objects.filter(pk=numbers[name]).update(username=other)


def drop_account(name: str) -> None:
    """The account is gone."""
    Account.objects.filter(username=name).delete()


def join_group(name: str, group: str) -> None:
    """The account is in the group, which is made if need be."""
    found, _ = Group.objects.get_or_create(name=group)
    for account in Account.objects.filter(username=name):
        account.groups.add(found)


def drop_group(group: str) -> None:
    """The group is gone."""
    Group.objects.filter(name=group).delete()


def put_portal(text: str) -> None:
    """The portal says so."""
    row = site()
    row.portal_text = text
    row.save()


def put_file(name: str, content: bytes, *, is_new_row: bool) -> None:
    """The file store has a file with this content, in the row that it had or in a new one."""
    blob = blobs.store([content])
    with transaction.atomic():
        if is_new_row:
            FileStoreFile.objects.filter(name=name).delete()
        fields = {"blob_id": blob.blob_id, "size_bytes": blob.size_bytes}
        FileStoreFile.objects.update_or_create(name=name, defaults=fields)


def drop_file(name: str) -> None:
    """The file is gone."""
    FileStoreFile.objects.filter(name=name).delete()


def keep_sessions(days: int) -> None:
    """Sessions are kept for so long, and somebody has agreed to what that deletes."""
    wishes = {"keep_sessions_days": days, "agreed_at": timezone.now()}
    RetentionSettings.objects.update_or_create(pk=1, defaults=wishes)


def begin_session(name: str, age_days: int, *, is_open: bool) -> str:
    """A session of so long ago; its id."""
    at = timezone.now() - dt.timedelta(days=age_days)
    ended_at = None if is_open else at
    return SupportSession.objects.create(started_at=at, ended_at=ended_at, account_name="a", customer_name=name).pk.hex


def end_session(key: str) -> None:
    """The session has ended."""
    SupportSession.objects.filter(pk=key).update(ended_at=timezone.now())


def add_event(session: str, text: str) -> str:
    """A line of the session's log; its id."""
    return SessionEvent.objects.create(session_id=session, at=timezone.now(), kind="chat", text=text).pk.hex


def add_recording(session: str, name: str, content: bytes) -> tuple[str, str]:
    """A recording of the session; its id and that of its content."""
    blob = blobs.store([content])
    row = Recording.objects.create(
        session_id=session, name=name, started_at=timezone.now(), blob_id=blob.blob_id, size_bytes=blob.size_bytes
    )
    return row.pk.hex, blob.blob_id


def past_time() -> set[str]:
    """The sessions that the retention may delete now."""
    rule = RetentionSettings.objects.filter(pk=1).first()
    return {key.hex for key in retention.sessions(rule, timezone.now()).values_list("pk", flat=True)} if rule else set()


def delete(kind: str, key: str) -> None:
    """Delete a session or a recording for good."""
    tombstones.delete(kind, [uuid.UUID(key)])
