"""Accounts of administrators and representatives."""

from __future__ import annotations

from django.contrib.auth.hashers import check_password, make_password
from django.contrib.auth.models import AbstractUser
from django.db import IntegrityError, models, transaction

from appliances import settings_lock


class Account(AbstractUser):
    """Somebody who may log in to `/login` or `/appliance`, or use the API by user and password.

    `last_login` stays on the appliance where the log-in was (see `sync.datasync.registry`).
    """

    display_name = models.CharField("Display name", max_length=150, blank=True)
    may_use_command_api = models.BooleanField(
        "Allowed to use the Command API",
        default=False,
        help_text="Together with administrator rights: check_health and set_failover_role by user and password.",
    )

    class Meta(AbstractUser.Meta):
        verbose_name = "Account"
        verbose_name_plural = "Accounts"
        permissions = [
            ("switch_roles", "May switch the roles of the appliances"),
            ("establish_relationship", "May establish and break the failover relationship"),
            ("bring_in_sessions", "May bring in support sessions and recordings"),
        ]

    def check_password(self, raw_password: str | None) -> bool:
        """Whether it is the password; a hash of an older kind is renewed then, where settings may be changed."""
        return check_password(raw_password, self.password, self._renew_hash)

    def _renew_hash(self, raw_password: str) -> None:
        before = self.password
        self.password = make_password(raw_password)
        try:
            with transaction.atomic():
                self.save(update_fields=["password"])
        except IntegrityError as error:
            if not settings_lock.is_refused(error):
                raise
            self.password = before

    def __str__(self) -> str:
        return self.display_name or self.username
