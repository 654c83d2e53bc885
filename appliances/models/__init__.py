"""What exists on this box, by noun. Which of it is synchronised is said in `sync.datasync.registry`."""

from appliances.models.account import Account
from appliances.models.appliance import Appliance
from appliances.models.certificate import Certificate
from appliances.models.file_store import FileStoreFile
from appliances.models.folder import Folder, FolderPlace
from appliances.models.network import IPConfig, SharedIP
from appliances.models.relationship import FailoverRelationship, InterApplianceKey
from appliances.models.settings import ApiConfiguration, BackupSettings, EmailConfiguration, RetentionSettings
from appliances.models.site import Site
from appliances.models.support_session import Recording, SessionEvent, SupportSession, Tombstone
from appliances.models.upload import Upload

__all__ = [
    "Account",
    "ApiConfiguration",
    "Appliance",
    "BackupSettings",
    "Certificate",
    "EmailConfiguration",
    "FailoverRelationship",
    "FileStoreFile",
    "Folder",
    "FolderPlace",
    "IPConfig",
    "InterApplianceKey",
    "Recording",
    "RetentionSettings",
    "SessionEvent",
    "SharedIP",
    "Site",
    "SupportSession",
    "Tombstone",
    "Upload",
]
