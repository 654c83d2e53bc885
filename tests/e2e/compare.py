"""What two live appliances hold, side by side: read from their databases and blob stores, past the product."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from blake3 import blake3
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sync.datasync.registry import DATASETS, Dataset
from tests.e2e.live import LiveAppliance

PERMISSIONS = (
    "SELECT p.id, c.app_label, c.model, p.codename FROM auth_permission p"
    " JOIN django_content_type c ON c.id = p.content_type_id"
)
# What a data-sync must never touch; the relationship's time of the last pull and the journal's heads may move.
NODE_LOCAL_QUERIES = (
    "SELECT * FROM appliances_appliance",
    "SELECT * FROM appliances_backupsettings",
    "SELECT * FROM appliances_certificate ORDER BY id",
    "SELECT * FROM appliances_interappliancekey",
    "SELECT pair_id, peer_guid, peer_name, peer_host, peer_port, reverse_host, reverse_port, is_founding_primary"
    " FROM appliances_failoverrelationship",
    "SELECT state, parity, term, own_term FROM sync_rolejournal",
    "SELECT * FROM auth_permission ORDER BY id",
    "SELECT * FROM django_content_type ORDER BY id",
)
# The role of an appliance and whom it is paired with: what a refusal must leave as it is.
ROLE_QUERIES = (
    "SELECT state, parity, term, own_term, head_term, head_seq, op_kind, initialised, superseded_by"
    " FROM sync_rolejournal",
    "SELECT * FROM appliances_failoverrelationship",
)


def rows_of(appliance: LiveAppliance, dataset: Dataset) -> list[tuple[Any, ...]]:
    """The synchronised columns of every row of one table, sorted; secrets decrypted, permissions by name."""
    names = [field.column for field in dataset.model_fields]
    columns = ", ".join(f'"{name}"' for name in names)
    permissions = {row[0]: row[1:] for row in appliance.rows(PERMISSIONS)}
    key = (appliance.data_dir / "secrets" / "data.key").read_bytes()
    labels = dict(dataset.secret_labels)

    def readable(name: str | None, value: Any) -> Any:
        if name == "permission_id":
            return permissions[value]
        if name in labels and value:
            sealed = bytes(value)
            return AESGCM(key).decrypt(sealed[1:13], sealed[13:], labels[name].encode())
        return value

    found = appliance.rows(f'SELECT {columns} FROM "{dataset.table}"')
    return sorted((tuple(map(readable, names, row)) for row in found), key=repr)


def differences(first: LiveAppliance, second: LiveAppliance) -> list[str]:
    """Every synchronised table and every blob in which two appliances differ, with a few of the rows."""
    found = []
    for dataset in DATASETS:
        one, two = rows_of(first, dataset), rows_of(second, dataset)
        if one != two:
            only = [row for row in one if row not in two][:3], [row for row in two if row not in one][:3]
            found.append(f"{dataset.label}: {len(one)} and {len(two)} rows, only here {only[0]}, only there {only[1]}")
    hashes = blob_hashes(first), blob_hashes(second)
    for appliance, held in zip((first, second), hashes, strict=True):
        missing = referred_blobs(appliance) - set(held)
        if missing:
            found.append(f"{appliance.name} lacks {len(missing)} blobs: {sorted(missing)[:3]}")
        if wrong := [name for name, digest in held.items() if name != digest]:
            found.append(f"{appliance.name} holds blobs of another content than their name says: {wrong[:3]}")
    return found


def referred_blobs(appliance: LiveAppliance) -> set[str]:
    """The ids of the blobs that rows refer to."""
    return {
        blob_id
        for dataset in DATASETS
        if dataset.blob_field
        for (blob_id,) in appliance.rows(f'SELECT "{dataset.blob_field}" FROM "{dataset.table}"')
    }


def blob_hashes(appliance: LiveAppliance) -> dict[str, str]:
    """The BLAKE3 hash of every file of the blob store, by the id that its path says."""
    store = appliance.data_dir / "blobs"
    return {path.parent.name + path.name: blake3_of(path) for path in store.rglob("*") if path.is_file()}


def blake3_of(path: Path) -> str:
    """The BLAKE3 hash of a file."""
    return blake3(path.read_bytes()).hexdigest()


def node_local(appliance: LiveAppliance) -> dict[str, list[tuple[Any, ...]]]:
    """What data-sync must leave alone."""
    return {query: appliance.rows(query) for query in NODE_LOCAL_QUERIES}


def role_rows(appliance: LiveAppliance) -> dict[str, list[tuple[Any, ...]]]:
    """The role journal and the relationship."""
    return {query: appliance.rows(query) for query in ROLE_QUERIES}


def count(appliance: LiveAppliance) -> dict[str, int]:
    """How many rows each synchronised table has."""
    return {dataset.label: len(rows_of(appliance, dataset)) for dataset in DATASETS}
