"""The vocabulary of the product as TextChoices: one word per thing, for table, form, API, log and rule.

This module imports without configured settings, so that `sync.rules` may use it.
"""

from django.db.models import TextChoices


class Role(TextChoices):
    """What an appliance is in its failover relationship."""

    NONE = "none", "Not configured"
    PRIMARY = "primary", "Primary"
    BACKUP = "backup", "Backup"


class State(TextChoices):
    """Where an appliance stands in the role protocol; each state belongs to one role."""

    NONE = "none", "Not configured"
    P_UNCONFIRMED = "p_unconfirmed", "Primary, confirming its role"
    P_ACTIVE = "p_active", "Primary"
    P_DRAINING = "p_draining", "Primary, swap in progress"
    P_SUPERSEDED = "p_superseded", "Primary, superseded by the peer"
    B_IDLE = "b_idle", "Backup"
    B_SYNCING = "b_syncing", "Backup, final data-sync before the swap"
    B_READY = "b_ready", "Backup, swap in progress"
    B_YIELDED = "b_yielded", "Backup, swap in progress"
    B_PROMOTING = "b_promoting", "Backup, taking over"


class OperationKind(TextChoices):
    """How far this appliance has come in a planned swap."""

    DRAIN = "drain", "Primary has stopped taking changes"
    OFFERED = "offered", "Backup has accepted the offer"
    READY = "ready", "Backup is ready to become primary"
    YIELDED = "yielded", "Old primary has given the role up"


class ProbeOutcome(TextChoices):
    """What one look at the peer found; only SILENT is a failure."""

    ANSWERED = "answered", "Answered"
    SILENT = "silent", "No answer"
    REFUSED = "refused", "Answered, but refused"


class SyncStatus(TextChoices):
    """How a data-sync stands or ended."""

    RUNNING = "running", "Running"
    SUCCESS = "success", "Success"
    REFUSED = "refused", "Refused"
    FAILED = "failed", "Failed"
    CANCELLED = "cancelled", "Cancelled"


class SyncTrigger(TextChoices):
    """What made a data-sync start."""

    FIRST = "first", "First data-sync"
    INTERVAL = "interval", "Automatic interval"
    SYNC_NOW = "sync_now", "Sync Now"
    ROLE_CHANGE = "role_change", "Role change"


class BrakeSubject(TextChoices):
    """What the brake against mass deletion can stop."""

    SETTINGS = "settings", "A data-sync of the settings"
    RECORDS = "records", "A data-sync of deletions"
    RETENTION = "retention", "The retention"


class FileProblem(TextChoices):
    """What is wrong with a stored file."""

    MISSING = "missing", "Missing"
    CORRUPT = "corrupt", "Damaged"


class RepairState(TextChoices):
    """How a damaged or missing file stands."""

    WAITING = "waiting", "Waits for the peer"
    LOST = "lost", "On neither appliance"
    REPAIRED = "repaired", "Repaired"
    GONE = "gone", "No longer needed"


class SyncStage(TextChoices):
    """What a running data-sync is doing."""

    MANIFEST = "manifest", "Comparing"
    ROWS = "rows", "Receiving rows"
    BLOBS = "blobs", "Receiving files"
    SENDING = "sending", "Sending what the primary lacks"
    APPLYING = "applying", "Applying"
    FOLDERS = "folders", "Copying folders"
    DONE = "done", "Done"


class MergeMode(TextChoices):
    """How a dataset is brought over."""

    MIRROR = "mirror", "The primary's copy replaces the backup's"
    UNION = "union", "Both copies are kept"


class FolderMode(TextChoices):
    """How a folder of the administrator's own is brought over."""

    MIRROR = "mirror", "Mirror: the backup's copy becomes like the primary's, with deletions"
    UNION = "union", "Union: nothing is deleted; what both changed is kept twice"


class FolderState(TextChoices):
    """How the latest data-sync of a folder ended."""

    EQUAL = "equal", "Equal"
    COPIED = "copied", "Copied"
    PARTLY = "partly", "Copied in part"
    HELD = "held", "Waits for your leave"
    NO_PLACE = "no_place", "No path here"
    FAILED = "failed", "Failed"

    @property
    def is_good(self) -> bool:
        """Whether nobody has to look at it."""
        return self in (FolderState.EQUAL, FolderState.COPIED)


class ChangeKind(TextChoices):
    """What sort of role change was asked for."""

    SWITCHOVER = "switchover", "Planned swap"
    FAILOVER = "failover", "Take-over without the peer"
    STEP_DOWN = "step_down", "Become backup without the peer"
    CONFLICT = "conflict", "Conflict resolved"


class ChangeStatus(TextChoices):
    """How a role change stands or ended."""

    RUNNING = "running", "In progress"
    COMPLETED = "completed", "Completed"
    CANCELLED = "cancelled", "Cancelled"
    REFUSED = "refused", "Refused"


class ChangeStep(TextChoices):
    """The steps of a role change in their order, as the page shows them."""

    REQUESTED = "requested", "Requested"
    FIRST_SYNC = "first_sync", "Data-sync while still serving"
    DRAINING = "draining", "Users disconnected"
    FINAL_SYNC = "final_sync", "Final data-sync"
    READY = "ready", "Backup ready"
    YIELDED = "yielded", "Old primary is backup"
    PROMOTED = "promoted", "New primary serves"


class BackupReason(TextChoices):
    """What a configuration backup was saved before; a number of each kind are kept."""

    DATA_SYNC = "data_sync", "Before a data-sync"
    ROLE_CHANGE = "role_change", "Role change or conflict"
    FOUNDING = "founding", "Before the first data-sync"
    TAKE_OVER = "take_over", "Before settings were taken over"
    BY_HAND = "by_hand", "Saved by hand"


class EstablishStep(TextChoices):
    """The steps of establishing a relationship, in their order."""

    FORM = "form", "What was entered"
    NAME_LOOKUP = "name_lookup", "Name look-up"
    TCP = "tcp", "TCP connection"
    TLS = "tls", "TLS connection"
    KEY = "key", "Inter-appliance key"
    IDENTITY = "identity", "Identity"
    VERSION = "version", "Product version"
    STATE = "state", "State of the peer"
    CALL_BACK = "call_back", "Call back"


class Severity(TextChoices):
    """How loud a status event is."""

    INFO = "info", "Information"
    WARNING = "warning", "Warning"
    ERROR = "error", "Error"


class Blocker(TextChoices):
    """A named reason why something is not ready, for page, log and API."""

    NO_NETWORK_RIGHTS = "NO_NETWORK_RIGHTS", "This installation has no right to change addresses"


class SessionEventKind(TextChoices):
    """What happened in a support session."""

    STARTED = "started", "Session started"
    CHAT = "chat", "Chat message"
    FILE_TRANSFER = "file_transfer", "File transferred"
    COMMAND = "command", "Command run"
    NOTE = "note", "Note"
    ENDED = "ended", "Session ended"


class SmtpEncryption(TextChoices):
    """How the connection to the SMTP server is protected."""

    NONE = "none", "None"
    TLS = "tls", "SSL/TLS"
    STARTTLS = "starttls", "STARTTLS"


class RateUnit(TextChoices):
    """Units of a bandwidth limit, as administrators and their providers name them."""

    KILOBYTES = "kB/s", "kB/s"
    MEGABYTES = "MB/s", "MB/s"
    MEGABITS = "Mbit/s", "Mbit/s"
