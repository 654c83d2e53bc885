"""What a data-sync goes on without, and what is said of it: the first of it ends the data-sync, after all else is done.

A recording whose bytes its own side has lost moves without them: both appliances hold the same rows then, know the file
as missing, and `datasync.repair` asks for it. Settings wait until their files are whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from appliances.choices import FileProblem
from sync.datasync import damaged, failures
from sync.datasync.receive import Received
from sync.datasync.refusals import LACKS, refused
from sync.datasync.registry import SETTINGS, TOMBSTONE, by_label
from sync.datasync.rows import RowCodec
from sync.datasync.wrapping import NO_SECRETS
from sync.errors import PeerRefused, SyncError, SyncRefused, code_of
from sync.rules.diff import Wanted
from sync.rules.snapshot import Refusal

# What keeps some rows from going up, and has nothing to do with what comes down.
_ONLY_UP = frozenset(
    {
        Refusal.NO_SPACE_THERE.value,
        Refusal.BLOB_TOO_LARGE.value,
        Refusal.ROW_TOO_LARGE.value,
        Refusal.ROW_UNUSABLE.value,
        f"peer_{failures.DISK_FULL}",
        f"peer_{failures.DISK_ERROR}",
    }
)


class Shortfall:
    """What could not be moved so far; `failure` is how the data-sync ends for it."""

    def __init__(self) -> None:
        self.failure: SyncError | None = None
        self.settings_wait = False  # a file that they need is not here

    def no_room(self, error: SyncRefused) -> None:
        """Blobs are not asked for."""
        self._keep(error)

    def of_settings(self, lacking: Mapping[str, Refusal], received: Received) -> None:
        """Of these blobs, which did not come, settings may need some."""
        found = [blob_id for blob_id in lacking if blob_id in received.of_settings]
        if found:
            self._keep(refused(lacking[found[0]], _listed(_name_in(received, found[0]), found)))
            self.settings_wait = True

    def of_records(self, lacking: Mapping[str, Refusal], received: Received) -> None:
        """Of these blobs, which did not come, the recordings that are merged now name some."""
        found = [blob_id for blob_id in lacking if blob_id in received.of_records]
        for blob_id in found:
            damaged.note(blob_id, FileProblem.MISSING, f"The primary {LACKS[lacking[blob_id]]}.")
        if found:
            self._keep(refused(Refusal.RECORDING_LOST, _listed(damaged.name_of(found[0]) or "", found)))

    def of_sent(self, lacking: Sequence[str]) -> None:
        """The recordings that went up name these blobs, which this appliance does not have whole."""
        if lacking:
            self._keep(refused(Refusal.RECORDING_LOST_HERE, _listed(damaged.name_of(lacking[0]) or "", lacking)))

    def not_sent(self, wanted: Wanted, error: PeerRefused) -> None:
        """These rows did not go up; all else may go on.

        Raises:
            PeerRefused: not after this error.
        """
        if wanted.dataset == TOMBSTONE or code_of(error) not in _ONLY_UP:
            raise error
        self._keep(error)

    def _keep(self, error: SyncError) -> None:
        self.failure = self.failure or error


def _listed(name: str, blob_ids: Sequence[str]) -> str:
    more = f" and {len(blob_ids) - 1} more" if len(blob_ids) > 1 else ""
    return f"“{name}” ({blob_ids[0]}){more}."


def _name_in(received: Received, blob_id: str) -> str:
    """The name of the file of the settings that came with this blob."""
    for dataset in SETTINGS:
        staged = received.tables.get(dataset.label)
        if dataset.blob_field and staged is not None:
            codec = RowCodec(by_label()[dataset.label], NO_SECRETS)
            for line in staged.lines():
                if blob_id.encode() in line:
                    return str(dict(zip(dataset.fields, codec.parse(line), strict=True))["name"])
    return ""
