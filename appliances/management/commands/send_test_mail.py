"""`manage.py send_test_mail`: whether this appliance, primary or backup, can send the mails it would send."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError

from appliances import mail
from appliances.management.base import ApplianceCommand


class Command(ApplianceCommand):
    """What “Save and send a test mail” on the Email Configuration page does, by what is saved."""

    help = "Send a test mail to the admin contacts by the server of the Email Configuration page."

    def handle(self, *args: Any, **options: Any) -> None:
        """Send it, or say why that failed."""
        try:
            receivers = mail.send_test()
        except mail.MailNotSent as error:
            raise CommandError(f"The test mail was not sent. {error}") from error
        self.stdout.write(f"The mail server took a test mail to {' and '.join(receivers)}. Look whether it arrives.")
