"""Every reason for which a data-sync is refused or given up, with its text and its remedy."""

from __future__ import annotations

from sync.errors import SyncRefused
from sync.rules.snapshot import Refusal

_AGAIN = "Nothing was changed; the next data-sync tries again."
_BESIDE = "Logs and recordings were synchronised; the settings follow when the file is whole."
_WITHOUT = (
    "All else was synchronised, and the recording without its content; the Data-Syncs page says whether a whole copy "
    "was found since. Sync, or change roles, once more to go on without it."
)
_VERSIONS = "Install the same version on both appliances; swapping roles stays possible."

SENTENCES: dict[Refusal, tuple[str, str]] = {
    Refusal.NO_RELATIONSHIP: ("No failover relationship is established.", "Establish it on the Failover page."),
    Refusal.NOT_BACKUP: ("This appliance is not the backup.", "Data-syncs are started on the backup."),
    Refusal.ALREADY_RUNNING: ("A data-sync is running already.", "Wait until it has ended."),
    Refusal.OPERATION_GONE: ("The role change that this data-sync belonged to has ended.", ""),
    Refusal.OPERATION_RUNNING: ("A role change is in progress.", "Data-syncs go on when it has ended."),
    Refusal.SOURCE_NOT_SERVING: (
        "The peer is not serving as primary.",
        "See its Failover page; if both appliances are backup, make one of them primary.",
    ),
    Refusal.SOURCE_OLDER: (
        "The settings of the primary are older than those of this appliance.",
        "Nothing was overwritten. If this appliance holds the right settings, make it primary.",
    ),
    Refusal.OTHER_PAIR: (
        "The peer belongs to another failover relationship.",
        "Break the relationship on both appliances and establish it again.",
    ),
    Refusal.OTHER_PRODUCT: ("The product versions differ.", _VERSIONS),
    Refusal.OTHER_BUILD: ("The builds differ.", _VERSIONS),
    Refusal.OTHER_SCHEMA: ("The database layouts differ.", _VERSIONS),
    Refusal.MANIFEST_TOO_LARGE: (
        "The list of what the primary holds is longer than a message may be.",
        "Nothing was changed. It grows with each image that is restored: restore no more of them, and report this.",
    ),
    Refusal.SNAPSHOT_GONE: ("The primary no longer keeps the snapshot of this data-sync.", _AGAIN),
    Refusal.BLOB_TOO_LARGE: ("A file is larger than this appliance accepts.", "Remove it from the primary."),
    Refusal.BLOB_MISSING: (
        "A file of the file store is missing from the disk of the primary, or cannot be read there.",
        f"Upload it again on the primary, or delete it there. {_BESIDE}",
    ),
    Refusal.BLOB_CORRUPT: (
        "A file of the file store is damaged on the disk of the primary: it arrived with other content, twice.",
        f"Upload it again on the primary, or delete it there. {_BESIDE}",
    ),
    Refusal.RECORDING_LOST: (
        "A recording is missing from the disk of the primary, or is damaged or unreadable there.",
        f"{_WITHOUT} Check the disk of the primary.",
    ),
    Refusal.RECORDING_LOST_HERE: (
        "A recording that only the backup has is missing from its disk, or is damaged or unreadable there.",
        f"{_WITHOUT} Check the disk of the backup.",
    ),
    Refusal.ROW_TOO_LARGE: ("A row is larger than a data-sync carries.", "Shorten the text on the primary."),
    Refusal.ROW_UNUSABLE: ("The peer sent a row that cannot be stored.", _AGAIN),
    Refusal.NO_SPACE: ("There is not enough disk space for what is missing.", "Free some space on this appliance."),
    Refusal.NO_SPACE_THERE: (
        "There is not enough disk space on the primary for what only the backup holds.",
        "Free some space on the primary; nothing was changed.",
    ),
    Refusal.MASS_DELETION: (
        "This data-sync was stopped before it deleted much of what is on the backup.",
        "The Failover page of the backup shows what it is: allow exactly that there, or mend the primary first.",
    ),
    Refusal.MASS_DELETION_THERE: (
        "Deletions that only the backup has were stopped before they removed much of what is on the primary.",
        "The Failover page of the primary shows how much it is: allow exactly that there.",
    ),
    Refusal.DIGEST_MISMATCH: ("What was stored is not what the primary listed.", _AGAIN),
    Refusal.APPEND_ONLY_DIFFERS: (
        "The two appliances do not hold the same logs or recordings yet.",
        "The settings were synchronised. The next data-sync compares every row of them, and keeps what differs twice.",
    ),
    Refusal.ROOT_DIFFERS: (
        "What the backup read back from its database is not what the primary sent.",
        "The next data-sync compares everything. If this comes back, check the disk and the memory of the backup.",
    ),
    Refusal.SECRET_UNREADABLE: (
        "A stored password cannot be decrypted.",
        "Restore the appliance's data key, or enter the password again.",
    ),
    Refusal.FOLDER_UNKNOWN: (
        "The primary has other settings for this folder by now.",
        "The next data-sync brings them.",
    ),
    Refusal.FOLDER_UNUSABLE: ("The primary cannot use its folder.", "See Management > Folders there."),
    Refusal.FOLDER_CHANGED: ("The primary has looked at this folder again meanwhile.", _AGAIN),
    Refusal.FOLDER_NO_SPACE: (
        "There is not enough disk space for what is missing in the folder.",
        "Free some space on the disk that it lies on.",
    ),
}

LACKS = {  # why a stored file did not come
    Refusal.BLOB_MISSING: "does not have it, or cannot read it",
    Refusal.BLOB_CORRUPT: "has it with other content than its hash says",
}


def refused(reason: Refusal, detail: str = "") -> SyncRefused:
    """The error to raise for `reason`."""
    text, remedy = SENTENCES[reason]
    return SyncRefused(reason.value, f"{text} {detail}".strip(), remedy=remedy)
