"""Stored files that are known to be damaged or missing here, until `datasync.repair` has fetched them from the peer."""

from __future__ import annotations

from django.db import IntegrityError, transaction

from appliances.choices import FileProblem, Severity
from sync import history
from sync.datasync.registry import DATASETS
from sync.models import DamagedFile


def note(blob_id: str, problem: FileProblem, why: str = "") -> None:
    """The file is known to be damaged or missing here, and is mended soon. Nothing if no row needs it."""
    name = name_of(blob_id)
    if name is None or DamagedFile.objects.filter(blob_id=blob_id, ended_at=None).exists():
        return
    try:
        with transaction.atomic():
            DamagedFile.objects.create(blob_id=blob_id, name=name, problem=problem, detail=why[:1000])
    except IntegrityError:  # somebody else has just noted it
        return
    history.record(
        f"file_{problem.value}",
        f"The stored file “{name}” is {problem.label.lower()} on the disk of this appliance. {why}".strip(),
        severity=Severity.WARNING,
        evidence={"blob": blob_id},
    )


def name_of(blob_id: str) -> str | None:
    """The name under which administrators know a file; None if no row refers to it."""
    found = _row_of(blob_id)
    return found[0] if found else None


def size_of(blob_id: str) -> int:
    """The size in bytes that a file should have; 0 if no row refers to it."""
    found = _row_of(blob_id)
    return found[1] if found else 0


def _row_of(blob_id: str) -> tuple[str, int] | None:
    for dataset in DATASETS:
        if dataset.blob_field:
            rows = dataset.model._base_manager.filter(**{dataset.blob_field: blob_id})
            found = rows.values_list("name", dataset.size_field).first()
            if found is not None:
                return str(found[0]), int(found[1])
    return None
