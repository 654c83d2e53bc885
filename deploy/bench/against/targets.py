"""The targets of data-sync: at most so many times what the rival took in the same run."""

from __future__ import annotations

from deploy.bench.against.databases import COPY_OUT, DUMP_PLAIN, DUMP_RESTORE, LOG, SELECT_INSERT
from deploy.bench.against.files import FSYNC, LIMITED, RSYNCD, SSH, TLS, ZIPPED
from deploy.bench.against.table import Target

_FILES = (
    "small, initial",
    "folder, initial",
    "text, initial",
    "recordings, initial",
    "big, initial",
    "big, 4 KiB inserted",
    "huge, down",
    "huge, up",
)
_ROWS = ("sqlite, initial", "postgresql, initial")

TARGETS = (
    Target("F1", "small, no change", "wall", 0.6, RSYNCD),
    Target("F1", "small, no change", "wall", 0.4, SSH),
    Target("F1", "small, no change", "wire", 0.05, RSYNCD),
    Target("F2", "small, 1 % changed", "wall", 0.7, RSYNCD),
    Target("F2", "small, 1 % changed", "wall", 0.5, SSH),
    Target("F2", "small, 1 % changed", "wire", 1.0, RSYNCD),
    Target("F3", "small, initial", "wall", 1.0, RSYNCD),
    Target("F3", "small, initial", "wall", 0.6, SSH),
    Target("F4", "small, initial", "wall", 0.4, FSYNC),
    Target("F5", "text, initial", "wire", 1.0, ZIPPED),
    Target("F5", "text, initial", "wall", 1.0, ZIPPED),
    Target("F6", "recordings, initial", "wall", 1.0, RSYNCD),
    Target("F6", "recordings, initial", "wall", 0.5, SSH),
    Target("F6", "recordings, initial", "wall", 1.6, TLS),
    Target("F7", "recordings, one new", "wall", 0.6, RSYNCD),
    Target("F7", "recordings, no change", "wall", 0.5, RSYNCD),
    Target("F7", "big, no change", "wall", 0.5, RSYNCD),
    Target("F8", "big, 4 KiB inserted", "wire", 1.0, RSYNCD),
    Target("F8", "big, 4 KiB inserted", "wall", 1.25, SSH),
    Target("F9", "20 ms, no change", "wall", 0.35, RSYNCD),
    Target("F9", "20 ms, 1 % changed", "wall", 0.35, RSYNCD),
    Target("F1", "folder, no change", "wall", 0.6, RSYNCD),
    Target("F1", "folder, no change", "wall", 0.4, SSH),
    Target("F1", "folder, no change", "wire", 0.05, RSYNCD),
    Target("F2", "folder, 1 % changed", "wall", 0.7, RSYNCD),
    Target("F2", "folder, 1 % changed", "wall", 0.5, SSH),
    Target("F2", "folder, 1 % changed", "wire", 1.0, RSYNCD),
    Target("F3", "folder, initial", "wall", 1.0, RSYNCD),
    Target("F3", "folder, initial", "wall", 0.6, SSH),
    Target("F9", "folder, 20 ms, no change", "wall", 0.35, RSYNCD),
    Target("F9", "folder, 20 ms, 1 % changed", "wall", 0.35, RSYNCD),
    Target("F10", LIMITED, "mean", 1.0, at_least=0.97),
    Target("F10", LIMITED, "worst", 1.05),
    *(Target("F11", case, "growth", 64.0) for case in (*_FILES, *_ROWS)),
    Target("D1", "postgresql, initial", "wall", 1.0, DUMP_RESTORE),
    Target("D1", "postgresql, initial", "wall", 0.75, DUMP_PLAIN),
    Target("D1", "postgresql, initial", "wire", 0.25, COPY_OUT),
    Target("D2", "postgresql, 1 % changed", "wall", 0.1, DUMP_RESTORE),
    Target("D2", "postgresql, 1 % changed", "wall", 1.0, LOG),
    Target("D3", "postgresql, proof", "wall", 0.2, DUMP_RESTORE),
    Target("D3", "postgresql, no change", "wall", 0.020),
    Target("D3", "sqlite, no change", "wall", 0.020),
    Target("D4", "sqlite, initial", "wall", 1.2, SELECT_INSERT),
    Target("idle", "idle, no change", "wall", 0.020),
    Target("idle", "idle, no change", "wire", 4096),
)
