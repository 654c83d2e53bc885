"""Blobs that come from the peer go into the store under their own hash, many made durable together.

A larger one is kept while it comes, so that the next attempt goes on where a cut ended this one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from appliances import blob_partials, blobs
from appliances.blob_partials import Partial
from sync.datasync.blob_frames import NO_HELPS, BlobReader, CutShort, Helps, Incoming
from sync.datasync.frames import FrameReader
from sync.datasync.lease import Progress
from sync.datasync.refusals import refused
from sync.errors import SyncError
from sync.rules.snapshot import Refusal

BATCH_BLOBS = 5000  # blobs made durable together
BATCH_BYTES = 256 * 1024 * 1024


@dataclass
class Resumed:
    """What the receiver has of the blobs that it asks for; the partials are locked until `close`."""

    partials: dict[str, Partial] = field(default_factory=dict)
    bases: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        sizes: Mapping[str, int],
        wanted: Iterable[str],
        *,
        bases: Mapping[str, str] | None = None,
        most: int = blobs.MAX_BLOB_BYTES,
        tick: Callable[[], None] = lambda: None,
    ) -> Resumed:
        """What has come of these blobs before, at most so many bytes of each, hashed: no sender waits for that.

        A blob of which somebody else receives the rest is left out.
        """
        resumed = cls(bases={blob_id: bases[blob_id] for blob_id in wanted if blob_id in bases} if bases else {})
        for blob_id in wanted:
            if sizes[blob_id] < blob_partials.LEAST_BYTES or not blob_partials.held(blob_id):
                continue
            partial = Partial.claim(blob_id)
            if partial is not None:
                resumed.partials[blob_id] = partial
                try:
                    partial.resume(min(sizes[blob_id], most + 1), tick)
                except OSError:  # a bad place on the disk: it comes anew, and elsewhere
                    resumed.partials.pop(blob_id).remove()
        return resumed

    @property
    def helps(self) -> Helps:
        """As the stream is told of it."""
        starts = {blob_id: partial.received for blob_id, partial in self.partials.items() if partial.received}
        return Helps(starts, self.bases)

    def close(self) -> None:
        """Leave the partials to the next attempt."""
        for partial in self.partials.values():
            partial.close()


def store_blobs(
    reader: FrameReader,
    wanted: Sequence[str],
    progress: Progress | None = None,
    *,
    resumed: Resumed | None = None,
    refusal: Refusal = Refusal.NO_SPACE,
) -> dict[str, Refusal]:
    """Store the blobs as they come, in this order; those that did not come whole, and why: lacking there, or damaged.

    What was complete before an interruption is kept, so the next attempt goes on from there. With `resumed`, what has
    come of a larger one is kept too.

    Raises:
        SyncRefused: one is too large, or the disk is full.
    """
    incoming = _Incoming(BlobReader(reader, resumed.helps if resumed else NO_HELPS), deque(wanted), progress, resumed)
    try:
        while incoming.left:
            incoming.store_batch()
    except blobs.StoreFull as error:
        raise refused(refusal, str(error)) from error
    incoming.stream.finish()
    return incoming.unusable


@dataclass
class _Incoming:
    """What is left of a stream of blobs."""

    stream: BlobReader
    left: deque[str]
    progress: Progress | None
    resumed: Resumed | None
    unusable: dict[str, Refusal] = field(default_factory=dict)

    def store_batch(self) -> None:
        """Take blobs off `left` and make them durable together; what was complete before an error is kept."""
        taken = count = 0
        with ExitStack() as after, blobs.Batch() as batch:
            try:
                while self.left and count < BATCH_BLOBS and taken < BATCH_BYTES:
                    taken += self._store_one(batch, self.left[0], after)
                    count += 1
                    self.left.popleft()
            except (SyncError, blobs.StoreFull):
                batch.flush()
                raise

    def _store_one(self, batch: blobs.Batch, blob_id: str, after: ExitStack) -> int:
        content = self.stream.take(blob_id)
        if content is None:
            self.unusable[blob_id] = Refusal.BLOB_MISSING
            return 0
        try:
            if isinstance(content, memoryview):
                counted = stored = batch.store_content(blob_id, content).size_bytes
            else:
                counted, stored = 0, self._store_larger(batch, blob_id, content, after)
        except blobs.BlobCorrupt:
            self.unusable[blob_id] = Refusal.BLOB_CORRUPT
            return 0
        except CutShort:
            self.unusable[blob_id] = Refusal.BLOB_MISSING
            return 0
        self._count(blobs=1, size_bytes=counted)
        return stored

    def _store_larger(self, batch: blobs.Batch, blob_id: str, content: Incoming, after: ExitStack) -> int:
        if content.size > blobs.MAX_BLOB_BYTES:
            raise refused(Refusal.BLOB_TOO_LARGE, f"{blob_id}: {content.size} bytes, at most {blobs.MAX_BLOB_BYTES}.")
        partial = self._partial(blob_id, content)
        if partial is None:
            return batch.store_verified(blob_id, map(self._counted, content.pieces)).size_bytes
        after.callback(partial.close)  # when the batch has its name in the store
        partial.begin(content.start)
        try:
            for piece in content.pieces:
                partial.write(self._counted(piece))
        except blobs.StoreFull:
            partial.remove()  # room is worth more than what has come
            raise
        if partial.blob_id_received != blob_id:
            partial.remove()
            raise blobs.BlobCorrupt(f"expected {blob_id}, received bytes of {partial.blob_id_received}")
        batch.take(blob_id, partial.place)
        return partial.received

    def _partial(self, blob_id: str, content: Incoming) -> Partial | None:
        if self.resumed is None:
            return None
        if blob_id in self.resumed.partials:
            return self.resumed.partials.pop(blob_id)
        return Partial.claim(blob_id) if content.size >= blob_partials.LEAST_BYTES else None

    def _counted(self, piece: memoryview) -> memoryview:
        self._count(size_bytes=len(piece))
        return piece

    def _count(self, *, blobs: int = 0, size_bytes: int = 0) -> None:
        if self.progress is not None:
            self.progress.add(blobs=blobs, size_bytes=size_bytes)
