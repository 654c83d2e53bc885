"""What the tests of the mails share: a clock of their own, and the mails as they were written."""

from __future__ import annotations

from sync import alerts, health
from sync.models import AlertMail


class World:
    """Looks at this appliance as the watchman does, with time passing as the test wants it.

    `is_healthy`: this appliance reports at each look that it is well.
    """

    def __init__(self, *, is_healthy: bool = True) -> None:
        self.now = 1000.0
        self.is_healthy = is_healthy
        self.watch = alerts.Watch(lambda: self.now)

    def look(self) -> list[AlertMail]:
        """One look; the mails that it wrote."""
        if self.is_healthy:
            health.write(health.Health(True, health.HEALTHY))  # what is on file is good for seconds
        before = set(AlertMail.objects.values_list("pk", flat=True))
        alerts.examine(self.watch)
        return list(AlertMail.objects.exclude(pk__in=before))

    def wait(self, seconds: float) -> list[AlertMail]:
        """Look now and after so many seconds; the mails that were written."""
        first = self.look()
        self.now += seconds
        return first + self.look()

    def events(self, seconds: float = 15) -> list[str]:
        """As `wait`: what the mails tell."""
        return [mail.event for mail in self.wait(seconds)]

    def restart(self) -> None:
        """The process that looks is another one."""
        self.watch = alerts.Watch(lambda: self.now)
