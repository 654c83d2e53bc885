"""What is synchronised and what stays on each appliance: the allow-list of data-sync.

Every model of every installed app is named here exactly once, either in DATASETS or in NODE_LOCAL; a test fails
otherwise. Every field of a synchronised model is named too: in `fields` (synchronised, in this order on the wire)
or in `keep_local`. Many-to-many tables count as models.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache

from django.apps import apps
from django.db import models
from django.db.models import Q

from appliances.choices import MergeMode

MARK_FIELDS = ("origin", "incarnation", "seq")


@dataclass(frozen=True)
class Dataset:
    """One synchronised table. `label` is its name on the wire.

    `key` tells rows apart on both appliances. `secret_labels` names fields that are encrypted at rest, each with the
    label it is sealed under. `blob_field` names the field that refers to the content-addressed store.
    `ready` tells which rows of an append-only table may be sealed, and `dated` names the moment that tells their day.
    Where versions of the settings are compared, `born` names the moment that tells whether two rows of one number are
    one object, and `hidden` what no page shows. `filled_in` names what an appliance fills in by itself where the sender
    of a row does not tell it: in that alone, a row that was sent to both appliances may differ.
    """

    label: str
    mode: MergeMode
    fields: tuple[str, ...]
    key: tuple[str, ...] = ("id",)
    keep_local: tuple[str, ...] = ()
    secret_labels: tuple[tuple[str, str], ...] = ()
    blob_field: str = ""
    size_field: str = ""
    ready: Q = field(default_factory=Q)
    born: str = ""
    dated: str = ""
    hidden: tuple[str, ...] = ()
    filled_in: tuple[str, ...] = ()

    @property
    def model(self) -> type[models.Model]:
        """The model class."""
        return apps.get_model(self.label)

    @property
    def table(self) -> str:
        """The name of the database table."""
        return self.model._meta.db_table

    @property
    def model_fields(self) -> tuple[models.Field[object, object], ...]:
        """The synchronised fields, in order."""
        return tuple(self.model._meta.get_field(name) for name in self.fields)  # type: ignore[misc]

    @property
    def name_field(self) -> str:
        """The field that people know a row by: the one that is unique beside the number; empty if there is none."""
        unique = (field.name for field in self.model_fields if field.unique and not field.primary_key)
        return next(unique, "")

    @property
    def is_named(self) -> bool:
        """Whether its rows are things that people know by a name, such as accounts and files."""
        return bool(self.name_field)

    @property
    def plural(self) -> str:
        """What its rows are called in a sentence."""
        return f"{self.model._meta.verbose_name}s".lower()


# The primary's copy replaces the backup's; in the order in which rows may refer to each other.
SETTINGS = (
    Dataset("auth.Group", MergeMode.MIRROR, ("id", "name")),
    Dataset("auth.Group_permissions", MergeMode.MIRROR, ("group", "permission"), ("group", "permission"), ("id",)),
    Dataset(
        "appliances.Account",
        MergeMode.MIRROR,
        (
            "id",
            "username",
            "password",
            "is_superuser",
            "is_staff",
            "is_active",
            "first_name",
            "last_name",
            "email",
            "date_joined",
            "display_name",
            "may_use_command_api",
        ),
        # Where somebody logged in is a fact of that appliance; synchronised, each log-in would change the settings.
        keep_local=("last_login",),
        born="date_joined",
        hidden=("password",),
    ),
    Dataset("appliances.Account_groups", MergeMode.MIRROR, ("account", "group"), ("account", "group"), ("id",)),
    Dataset(
        "appliances.Account_user_permissions",
        MergeMode.MIRROR,
        ("account", "permission"),
        ("account", "permission"),
        ("id",),
    ),
    Dataset("appliances.Site", MergeMode.MIRROR, ("id", "host_name", "name", "portal_text")),
    Dataset(
        "appliances.EmailConfiguration",
        MergeMode.MIRROR,
        (
            "id",
            "from_address",
            "relay_host",
            "relay_port",
            "encryption",
            "username",
            "sealed_password",
            "admin_contacts",
        ),
        secret_labels=(("sealed_password", "email_configuration|1|password"),),
        hidden=("sealed_password",),
    ),
    Dataset("appliances.ApiConfiguration", MergeMode.MIRROR, ("id", "enable_xml_api", "enable_session_api")),
    Dataset(
        "appliances.RetentionSettings",
        MergeMode.MIRROR,
        ("id", "keep_sessions_days", "keep_recordings_days", "max_recordings_gigabytes", "agreed_at"),
    ),
    Dataset("appliances.Folder", MergeMode.MIRROR, ("id", "name", "mode", "include", "exclude", "enabled")),
    Dataset(
        "appliances.FileStoreFile",
        MergeMode.MIRROR,
        ("id", "name", "blob_id", "size_bytes", "content_type", "is_public", "created_at"),
        blob_field="blob_id",
        size_field="size_bytes",
        born="created_at",
    ),
)

# Kept in union on both appliances; rows are never changed once they are sealed. A tombstone removes what it names.
TOMBSTONE = "appliances.Tombstone"
APPEND_ONLY = (
    Dataset(TOMBSTONE, MergeMode.UNION, ("id", *MARK_FIELDS, "dataset", "row_id", "deleted_at"), dated="deleted_at"),
    Dataset(
        "appliances.SupportSession",
        MergeMode.UNION,
        (
            "id",
            *MARK_FIELDS,
            "started_at",
            "ended_at",
            "account_id_value",
            "account_name",
            "customer_name",
            "subject",
        ),
        ready=Q(ended_at__isnull=False),
        dated="started_at",
        filled_in=("account_id_value",),
    ),
    Dataset(
        "appliances.SessionEvent",
        MergeMode.UNION,
        ("id", *MARK_FIELDS, "session_id", "at", "kind", "who", "text"),
        dated="at",
    ),
    Dataset(
        "appliances.Recording",
        MergeMode.UNION,
        (
            "id",
            *MARK_FIELDS,
            "session_id",
            "name",
            "started_at",
            "duration",
            "blob_id",
            "size_bytes",
            "content_type",
            "is_incomplete",
        ),
        dated="started_at",
        filled_in=("started_at",),
        blob_field="blob_id",
        size_field="size_bytes",
    ),
)

DATASETS = SETTINGS + APPEND_ONLY

# Each model that is never synchronised, with the reason.
NODE_LOCAL = {
    "appliances.Appliance": "who this appliance is",
    "appliances.BackupSettings": "in force only while this appliance is the backup",
    "appliances.Certificate": "private keys never leave the appliance by data-sync",
    "appliances.FailoverRelationship": "each side describes the other",
    "appliances.FolderPlace": "where a folder lies on this machine",
    "appliances.IPConfig": "the addresses of this machine",
    "appliances.InterApplianceKey": "entered or generated on each appliance",
    "appliances.Upload": "the bytes of a recording that have arrived at this appliance so far",
    "appliances.SharedIP": "ticked on each appliance, for the addresses of that machine",
    "sync.RoleJournal": "the role of this appliance",
    "sync.PeerView": "what this appliance knows of the peer",
    "sync.RoleChange": "the operations of this appliance",
    "sync.StatusEvent": "the history of this appliance",
    "sync.SyncRun": "the data-syncs of this appliance",
    "sync.ServedSync": "the data-syncs that were pulled from this appliance",
    "sync.BrakeStop": "what this appliance does not delete before somebody has allowed it",
    "sync.ConfigurationBackup": "versions of the settings that this appliance held",
    "sync.SealedMark": "how far the append-only rows held here reach",
    "sync.FileScrub": "how far the files stored here are verified",
    "sync.DamagedFile": "what the disk of this appliance has damaged",
    "sync.SealedDay": "what append-only rows of each day are held here",
    "sync.SettingsDigest": "what the settings tables held here hold",
    "sync.AlertEpisode": "what the mails of this appliance tell of",
    "sync.AlertMail": "the mails of this appliance",
    "sync.Nonce": "used nonces of this appliance's wire",
    "admin.LogEntry": "what was done in the pages of this appliance",
    "auth.Permission": "made by migrations; referred to by name, for its numbers differ",
    "contenttypes.ContentType": "made by migrations; its numbers differ",
    "sessions.Session": "a log-in holds on one appliance only",
    "axes.AccessAttempt": "throttling of log-ins to this appliance",
    "axes.AccessFailureLog": "throttling of log-ins to this appliance",
    "axes.AccessAttemptExpiration": "throttling of log-ins to this appliance",
    "axes.AccessLog": "log-ins to this appliance",
}

# Rows kept local that refer to a row of the settings, and go with it when it is removed on the primary.
DEPENDENTS = (("admin.LogEntry", "user"),)


@cache
def by_label() -> dict[str, Dataset]:
    """All datasets by their label."""
    return {dataset.label: dataset for dataset in DATASETS}


def all_model_labels() -> list[str]:
    """The labels of all models with a table of their own, many-to-many tables among them."""
    found = apps.get_models(include_auto_created=True)
    return [model._meta.label for model in found if model._meta.managed and not model._meta.proxy]
