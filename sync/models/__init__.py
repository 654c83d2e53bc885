"""What happened between the appliances, and the durable role state. Never edited by hand, never synchronised."""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid

from django.db import models
from django.db.models import Q

from appliances.choices import (
    BackupReason,
    BrakeSubject,
    ChangeKind,
    ChangeStatus,
    ChangeStep,
    OperationKind,
    ProbeOutcome,
    Role,
    Severity,
    State,
    SyncStage,
    SyncStatus,
    SyncTrigger,
)
from appliances.models.base import Singleton
from sync.models.files import DamagedFile, FileScrub
from sync.models.marks import SealedDay, SealedMark, SettingsDigest
from sync.rules.progress import RunningSync

__all__ = [
    "AlertEpisode",
    "AlertMail",
    "BrakeStop",
    "ConfigurationBackup",
    "DamagedFile",
    "FileScrub",
    "Nonce",
    "PeerView",
    "RoleChange",
    "RoleJournal",
    "SealedDay",
    "SealedMark",
    "ServedSync",
    "SettingsDigest",
    "StatusEvent",
    "SyncRun",
]


class RoleJournal(Singleton):
    """The durable role state of this appliance: `sync.rules.facts.RoleState` as a row.

    `head_seq` is moved by database triggers on every change of a synchronised settings table, but on a backup;
    `settings_writes` on a backup too: it only tells whether there was a change between two moments. The triggers refuse
    changes where the state does not allow them, but while `settings_open`: within a data-sync's own transaction.
    `sync.journal` alone reads and writes this row.
    """

    state = models.CharField(max_length=20, choices=State.choices, default=State.NONE)
    parity = models.PositiveSmallIntegerField(default=0)
    term = models.BigIntegerField(default=0)
    own_term = models.BigIntegerField(default=-1)
    head_term = models.BigIntegerField(default=0)
    head_seq = models.BigIntegerField(default=0)
    settings_writes = models.BigIntegerField(default=0)
    settings_open = models.BooleanField(default=False)
    base_head_term = models.BigIntegerField(default=0)
    base_head_seq = models.BigIntegerField(default=0)
    op_kind = models.CharField(max_length=10, choices=OperationKind.choices, blank=True)
    op_term = models.BigIntegerField(default=-1)
    op_number = models.BigIntegerField(default=0)
    op_new_term = models.BigIntegerField(default=0)
    op_final_sync = models.BooleanField(default=False)
    op_counter = models.BigIntegerField(default=0)
    last_op_term = models.BigIntegerField(default=-1)
    last_op_number = models.BigIntegerField(default=0)
    initialised = models.BooleanField(default=False)
    superseded_by = models.BigIntegerField(null=True)
    since_boottime = models.FloatField(default=0.0)
    changed_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return f"{self.state} term {self.term}"


class PeerView(Singleton):
    """The latest that is known of the peer: one row, written by every probe and every accepted message.

    `status` is the peer's last STATUS as sent (see `sync.peer.messages.Status`); `answered_at` its wall-clock time
    for display; `answered_boottime` the CLOCK_BOOTTIME seconds of the *send* time of the last answered
    probe, `asked_boottime` of the last one at all, `kept_boottime` of the one whose `outcome`, `code` (that of the
    error, stated by the peer where it refused) and `detail` stand here; `heard_boottime` of the last message that the
    peer sent by itself. `test_rounds`: for the last rounds, newest last, whether any connectivity test IP answered;
    `tests`: when they were asked and answered last, and per address when (Unix seconds) and how it answered;
    `decision`: the latest verdict of the guard of automatic failover. `differences`: while this appliance waits as
    superseded primary, of which two heads its settings and the peer's were compared, when, and how many objects differ.
    `by_name`: what the latest look for the peer under its host name found (see `sync.alerts.by_name`).
    """

    status = models.JSONField(default=dict)
    answered_at = models.DateTimeField(null=True)
    answered_boottime = models.FloatField(null=True)
    asked_boottime = models.FloatField(null=True)
    kept_boottime = models.FloatField(null=True)
    probed_at = models.DateTimeField(null=True)
    outcome = models.CharField(max_length=10, choices=ProbeOutcome.choices, blank=True)
    code = models.CharField(max_length=60, blank=True)
    detail = models.CharField(max_length=300, blank=True)
    latency_seconds = models.FloatField(null=True)
    consecutive_failures = models.PositiveIntegerField(default=0)
    heard_boottime = models.FloatField(null=True)
    test_rounds = models.JSONField(default=list)
    tests = models.JSONField(default=dict)
    decision = models.JSONField(default=dict)
    differences = models.JSONField(default=dict)
    by_name = models.JSONField(default=dict)
    same_role_polls = models.PositiveIntegerField(default=0)
    same_role_boottime = models.FloatField(null=True)

    def __str__(self) -> str:
        return self.outcome or "never probed"


class RoleChange(models.Model):
    """The readable record of a role change. It never drives: the role journal does."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    kind = models.CharField(max_length=12, choices=ChangeKind.choices)
    target_role = models.CharField("Becomes", max_length=10, choices=Role.choices)
    want_final_sync = models.BooleanField("With data-sync first", default=False)
    without_peer = models.BooleanField("Even if the peer cannot be contacted", default=False)
    requested_by = models.CharField("Requested by", max_length=200)
    requested_at = models.DateTimeField("Requested", auto_now_add=True)
    finished_at = models.DateTimeField("Finished", null=True)
    status = models.CharField(max_length=10, choices=ChangeStatus.choices, default=ChangeStatus.RUNNING)
    step = models.CharField(max_length=12, choices=ChangeStep.choices, default=ChangeStep.REQUESTED)
    reason = models.CharField(max_length=500, blank=True)
    op_term = models.BigIntegerField(null=True)
    op_number = models.BigIntegerField(null=True)
    driver = models.CharField("Process that drives it", max_length=64, blank=True)

    class Meta:
        verbose_name = "Role change"
        ordering = ["-requested_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["status"], condition=Q(status=ChangeStatus.RUNNING), name="one_running_role_change"
            )
        ]

    def __str__(self) -> str:
        return f"become {self.target_role}: {self.get_status_display()}"


class StatusEvent(models.Model):
    """One line of Status History. Written by `sync.history` only."""

    at = models.DateTimeField("Time", auto_now_add=True, db_index=True)
    severity = models.CharField(max_length=10, choices=Severity.choices, default=Severity.INFO)
    event = models.CharField("Event", max_length=60)
    sentence = models.CharField("What happened", max_length=1000)
    role = models.CharField("Role then", max_length=10, choices=Role.choices)
    term = models.BigIntegerField("Term")
    evidence = models.JSONField(default=dict)

    class Meta:
        verbose_name = "Status event"
        verbose_name_plural = "Status history"
        ordering = ["-at", "-id"]

    def __str__(self) -> str:
        return self.sentence


class SyncRun(models.Model):
    """One data-sync, with its progress while it runs and its figures afterwards.

    At most one runs at a time; `owner` (a process) and `heartbeat_boottime` (seconds of CLOCK_BOOTTIME) are its lease.
    `folders`: how each folder of the administrator's own ended, by name (`sync.peer.sync_messages.FolderOutcome`).
    """

    is_served = False

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    trigger = models.CharField(max_length=12, choices=SyncTrigger.choices)
    status = models.CharField(max_length=10, choices=SyncStatus.choices, default=SyncStatus.RUNNING)
    stage = models.CharField(max_length=10, choices=SyncStage.choices, default=SyncStage.MANIFEST)
    started_at = models.DateTimeField("Started", auto_now_add=True)
    finished_at = models.DateTimeField("Finished", null=True)
    reflects_at = models.DateTimeField("Reflects the primary at", null=True)
    owner = models.CharField(max_length=64, blank=True)
    heartbeat_boottime = models.FloatField(null=True)
    rows_total = models.BigIntegerField(default=0)
    rows_done = models.BigIntegerField(default=0)
    blobs_total = models.BigIntegerField(default=0)
    blobs_done = models.BigIntegerField(default=0)
    bytes_total = models.BigIntegerField(default=0)
    bytes_done = models.BigIntegerField(default=0)
    rows_sent = models.BigIntegerField("Rows sent to the primary", default=0)
    blobs_sent = models.BigIntegerField("Files sent to the primary", default=0)
    rate = models.FloatField("Bytes a second, lately", default=0.0)
    root = models.CharField("Hash over what both hold", max_length=64, blank=True)
    head_term = models.BigIntegerField(null=True)
    head_seq = models.BigIntegerField(null=True)
    folders = models.JSONField(default=dict)
    code = models.CharField(max_length=60, blank=True)
    message = models.CharField(max_length=1000, blank=True)

    class Meta:
        verbose_name = "Data-sync"
        ordering = ["-started_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["status"], condition=Q(status=SyncStatus.RUNNING), name="one_running_data_sync"
            )
        ]

    def __str__(self) -> str:
        return f"{self.get_status_display()} {self.started_at:%Y-%m-%d %H:%M:%S}"

    @property
    def moved(self) -> str:
        """What it has moved, for people: "1 row and 2 files received, 3 rows sent"."""
        told = []
        for rows, files, where in (
            (self.rows_done, self.blobs_done, "received"),
            (self.rows_sent, self.blobs_sent, "sent"),
        ):
            parts = [f"{n} {noun}{'' if n == 1 else 's'}" for n, noun in ((rows, "row"), (files, "file")) if n]
            told += [f"{' and '.join(parts)} {where}"] if parts else []
        return ", ".join(told) or "nothing had changed"

    def progress(self, now: dt.datetime) -> RunningSync:
        """How far it is."""
        names = [field.name for field in dataclasses.fields(RunningSync) if hasattr(self, field.name)]
        said = {name: getattr(self, name) for name in names}
        said |= {"stage": SyncStage(self.stage), "trigger": SyncTrigger(self.trigger)}
        elapsed = max(0.0, (now - self.started_at).total_seconds())
        said["rate"] = self.rate or (self.bytes_done / elapsed if elapsed else 0.0)
        return RunningSync(elapsed=elapsed, **said)


class ServedSync(models.Model):
    """One data-sync that the backup pulled from this primary. `sync.datasync.served` alone writes it.

    Its number and its figures are those of the backup. While it runs, `told` is what the backup was told; at the end,
    `root` is the hash over what both hold, empty where they do not agree or where nobody compared.
    """

    is_served = True
    FIGURES = ("rows_done", "blobs_done", "bytes_done", "rows_sent", "blobs_sent")

    id = models.UUIDField(primary_key=True, editable=False)
    snapshot_id = models.CharField(max_length=32, blank=True, db_index=True)
    trigger = models.CharField(max_length=12, choices=SyncTrigger.choices)
    status = models.CharField(max_length=10, choices=SyncStatus.choices, default=SyncStatus.RUNNING)
    started_at = models.DateTimeField("Started", auto_now_add=True)
    finished_at = models.DateTimeField("Finished", null=True)
    rows_done = models.BigIntegerField(default=0)
    blobs_done = models.BigIntegerField(default=0)
    bytes_done = models.BigIntegerField(default=0)
    rows_sent = models.BigIntegerField(default=0)
    blobs_sent = models.BigIntegerField(default=0)
    root = models.CharField("Hash over what both hold", max_length=64, blank=True)
    told = models.JSONField(default=dict)
    code = models.CharField(max_length=60, blank=True)
    message = models.CharField(max_length=1000, blank=True)

    class Meta:
        verbose_name = "Served data-sync"
        ordering = ["-started_at"]

    def __str__(self) -> str:
        return f"{self.get_status_display()} {self.started_at:%Y-%m-%d %H:%M:%S}"


class ConfigurationBackup(models.Model):
    """One version of all synchronised settings, kept in a file of this appliance. `sync.datasync.backups` alone writes.

    `head_term` and `head_seq` are the head of that moment; `digest` is the BLAKE3 of the file, `content` that of what
    the version says (two backups of equal settings have the same), both 64 hex digits. `schema` is the database's.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    made_at = models.DateTimeField("Saved", auto_now_add=True)
    reason = models.CharField("Saved", max_length=12, choices=BackupReason.choices)
    detail = models.CharField(max_length=300, blank=True)
    role = models.CharField("Role then", max_length=10, choices=Role.choices)
    term = models.BigIntegerField("Term")
    head_term = models.BigIntegerField()
    head_seq = models.BigIntegerField()
    rows = models.PositiveBigIntegerField("Rows")
    size_bytes = models.PositiveBigIntegerField("Size")
    digest = models.CharField(max_length=64)
    content = models.CharField(max_length=64)
    schema = models.CharField(max_length=64)

    class Meta:
        verbose_name = "Configuration backup"
        ordering = ["-made_at", "-id"]

    def __str__(self) -> str:
        return f"{self.get_reason_display()}, {self.made_at:%Y-%m-%d %H:%M:%S}"


class BrakeStop(models.Model):
    """What would delete much of what is here, and waits until somebody allows it; one for each subject.

    `fingerprint` stands for exactly what would be deleted (64 hex digits), `what` says it in words, `names` names some
    of it, `doomed` are the first 8 bytes of the hash of each key, sorted. `sync.datasync.brake` alone writes it; a
    change of the role removes it.
    """

    subject = models.CharField(max_length=20, choices=BrakeSubject.choices, unique=True)
    fingerprint = models.CharField(max_length=64)
    doomed = models.BinaryField(default=b"")
    what = models.CharField(max_length=500)
    names = models.JSONField(default=list)
    stopped_at = models.DateTimeField()
    allowed_at = models.DateTimeField(null=True)
    allowed_by = models.CharField(max_length=200, blank=True)

    def __str__(self) -> str:
        return self.what

    @classmethod
    def waiting(cls, role: Role) -> models.QuerySet[BrakeStop]:
        """What waits for somebody to allow it, as far as an appliance in this role does it.

        Sessions that the peer deleted go on either appliance; settings follow, and the retention rests, on a backup.
        """
        return cls.of_role(role).filter(allowed_at=None)

    @classmethod
    def of_role(cls, role: Role) -> models.QuerySet[BrakeStop]:
        """What waits, and what was allowed and is not done yet."""
        of_others = BrakeSubject.RETENTION if role == Role.BACKUP else BrakeSubject.SETTINGS
        return cls.objects.exclude(subject=of_others).order_by("stopped_at")


class Nonce(models.Model):
    """A nonce or challenge of the wire: a used request nonce, or a challenge that was given out and not yet used."""

    value = models.CharField(max_length=64, primary_key=True)
    is_challenge = models.BooleanField(default=False)
    expires_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return self.value


class AlertEpisode(models.Model):
    """A condition that the administrators are told of by mail; open until it is over.

    `told` names what has been told in this episode beside its beginning, so that each thing is told once.
    """

    code = models.CharField(max_length=60)
    detail = models.CharField(max_length=1000, blank=True)
    told = models.JSONField(default=list)
    opened_at = models.DateTimeField(auto_now_add=True)
    closed_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["code"], condition=Q(closed_at=None), name="one_open_episode_per_code")
        ]

    def __str__(self) -> str:
        return self.code


class AlertMail(models.Model):
    """A mail to the administrators, as it was written when it became due; it waits here until a server has taken it.

    `next_try_at` None: sent, or given up (`sent_at` tells which). `sync.alerts.outbox` alone writes it.
    """

    episode = models.ForeignKey(AlertEpisode, on_delete=models.CASCADE, related_name="mails")
    event = models.CharField(max_length=80)
    subject = models.CharField(max_length=300)
    text = models.TextField()
    created_at = models.DateTimeField(auto_now_add=True)
    next_try_at = models.DateTimeField(null=True, db_index=True)
    attempts = models.PositiveIntegerField(default=0)
    sent_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return self.subject
