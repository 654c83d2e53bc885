"""The inter-appliance key and the failover relationship. Never synchronised."""

from __future__ import annotations

from django.db import models

from appliances.models.base import Singleton

HTTPS_PORT = 443
KEY_LABEL = "inter_appliance_key|1|key"


class InterApplianceKey(Singleton):
    """The pre-shared key, stretched and sealed; what was typed is never kept.

    `key_id` is 16 hex digits that reveal nothing useful and tell whether two appliances hold the same key.
    """

    sealed_key = models.BinaryField(editable=False, default=bytes)
    key_id = models.CharField("Fingerprint", max_length=16, blank=True, editable=False)
    set_at = models.DateTimeField("Set", null=True, editable=False)

    class Meta:
        verbose_name = verbose_name_plural = "Inter-appliance key"

    def __str__(self) -> str:
        return self.key_id or "not set"


class FailoverRelationship(Singleton):
    """The trusted pairing with the peer. The row exists only while a relationship is established.

    `peer_host` and `peer_port` are how this appliance reaches the peer; `reverse_host` and `reverse_port` how
    the peer reaches this one. `peer_pins` are the SHA-256 digests (64 hex digits) of the public keys that the
    peer's web server may present. `is_confirmed` is False on the founding backup until the peer has shown that it
    made the relationship durable as well.
    """

    pair_id = models.CharField(max_length=32, editable=False)
    peer_guid = models.CharField("Peer's appliance id", max_length=32, editable=False)
    peer_name = models.CharField("Peer's host name", max_length=253)
    peer_host = models.CharField("Peer: host name or IP address", max_length=253)
    peer_port = models.PositiveIntegerField("Peer: TLS port")
    reverse_host = models.CharField("This appliance: host name or IP address", max_length=253)
    reverse_port = models.PositiveIntegerField("This appliance: TLS port")
    peer_pins = models.JSONField(default=list, editable=False)
    is_founding_primary = models.BooleanField(editable=False)
    is_confirmed = models.BooleanField("The peer holds this relationship too", default=True, editable=False)
    established_at = models.DateTimeField("Established", auto_now_add=True)
    last_pulled_at = models.DateTimeField("Last pulled by the backup", null=True, editable=False)

    class Meta:
        verbose_name = verbose_name_plural = "Failover relationship"

    def __str__(self) -> str:
        return f"{self.peer_name} ({self.peer_host}:{self.peer_port})"

    @property
    def peer_url(self) -> str:
        """The peer's web server as browsers want it written, at the address by which this appliance reaches it."""
        host = f"[{self.peer_host}]" if ":" in self.peer_host else self.peer_host
        port = "" if self.peer_port == HTTPS_PORT else f":{self.peer_port}"
        return f"https://{host}{port}/"
