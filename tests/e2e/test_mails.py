"""Every documented condition, provoked on a living pair: its mail arrives at a real mail server, once, and its end too.

site2 is the backup. The mail server is entered on the Email Configuration page of the primary; the backup has it by
data-sync. What is asserted in the end is every mail that arrived, so that none is doubled and none comes unasked.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.appliances import smtp
from tests.e2e.browser import Console
from tests.e2e.conftest import running
from tests.e2e.live import ROOT, LiveAppliance, LivePair, wait_for
from tests.e2e.test_refusals import copy_of_the_source

PORT = 9786
TIMEOUT = 10
LONG_TIMEOUT = 40  # so that the mails of the count-down lie seconds apart
NOWHERE = "2001:db8::1"  # for documentation: nobody answers there
WELL = "All well again: "

SETTINGS = """
import datetime as dt
from appliances.models import BackupSettings
row = BackupSettings.load()
row.primary_timeout = dt.timedelta(seconds={timeout})
for name, value in {values!r}.items():
    setattr(row, name, value)
row.save()
"""
SHARED_IPS = """
from appliances.models import IPConfig, SharedIP
SharedIP.objects.get_or_create(address="127.0.0.1")
SharedIP.objects.get_or_create(address="127.0.0.9")
listed = dict(prefix_length=8, interface="lo", enabled={enabled})
IPConfig.objects.update_or_create(address="127.0.0.1", defaults=listed)
if {enabled}:
    SharedIP.objects.filter(address="127.0.0.9").delete()
"""
NAME = "from appliances.models import Appliance; Appliance.objects.update(host_name={name!r})"
PULLED = """
import datetime as dt
from django.utils import timezone
from appliances.models import FailoverRelationship
FailoverRelationship.objects.update(last_pulled_at=timezone.now() - dt.timedelta(minutes={minutes}))
FailoverRelationship.objects.update(established_at=timezone.now() - dt.timedelta(days=1))
"""


@dataclass
class Post:
    """What the mail server took, against what is expected: (host, subject), each once."""

    mailbox: smtp.Mailbox
    expected: Counter[str] = field(default_factory=Counter)

    @property
    def subjects(self) -> list[str]:
        """The subjects of all mails."""
        return [str(mail["Subject"]) for mail in self.mailbox.mails]

    def wait_for(self, *subjects: str, seconds: float = 90) -> None:
        """Mails with these subjects arrive, one of each."""
        self.expected.update(subjects)
        try:
            wait_for("the mails", lambda: not self.expected - Counter(self.subjects), seconds)
        except AssertionError:
            missing = list((self.expected - Counter(self.subjects)).elements())
            raise AssertionError(f"missing {missing}, arrived {self.subjects}") from None

    def wait_for_either(self, *alternatives: tuple[str, ...]) -> None:
        """Mails with all subjects of one of these arrive, one of each."""

        def arrived() -> tuple[str, ...] | None:
            come = Counter(self.subjects) - self.expected
            return next((subjects for subjects in alternatives if not Counter(subjects) - come), None)

        wait_for("the mails of one of them", lambda: arrived() is not None, 90)
        self.expected.update(arrived() or ())

    def text_of(self, subject: str) -> str:
        """The words of the mail with this subject."""
        [mail] = [mail for mail in self.mailbox.mails if mail["Subject"] == subject]
        return " ".join(str(mail.get_content()).split())


def shell(appliance: LiveAppliance, code: str) -> None:
    done = appliance.manage("shell", "-c", code)
    assert done.returncode == 0, done.stderr


def wishes(appliance: LiveAppliance, timeout: int = TIMEOUT, **values: object) -> None:
    """Backup settings of this appliance."""
    shell(appliance, SETTINGS.format(timeout=timeout, values=values))


def set_test_ips(appliance: LiveAppliance, addresses: str) -> None:
    """As `wishes`, within milliseconds: a command takes seconds to start."""
    with closing(sqlite3.connect(appliance.data_dir / "database.sqlite3", timeout=20)) as database, database:
        database.execute("UPDATE appliances_backupsettings SET connectivity_test_ips = ?", (addresses,))


@contextmanager
def stopped(appliance: LiveAppliance, part: str = "") -> Iterator[None]:
    """The processes of it stand still, or those whose command line contains `part`."""
    found = [pid for pid, command in appliance.processes().items() if part in command]
    assert found
    try:
        for pid in found:
            os.kill(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in found:
            os.kill(pid, signal.SIGCONT)


@pytest.fixture
def pair(folder: Path) -> Iterator[LivePair]:
    """site1, under a name that the machine knows, is primary; site2 its backup."""
    pair = LivePair.below(folder, port=PORT)
    pair.site1.name = "localhost"
    with running(pair.site1, pair.site2):
        pair.start()
        pair.establish_from_shell()
        pair.wait_until_synchronised()
        yield pair


def test_every_documented_condition_is_mailed_once_and_so_is_its_end(
    pair: LivePair, browser: Browser, folder: Path
) -> None:
    started = time.monotonic()
    with smtp.running() as (mailbox, port):
        post = Post(mailbox)
        configure(pair, browser, port)
        for phase in (
            what_does_not_need_silence,
            a_primary_that_stands_still,
            a_backup_that_is_cut_off,
            another_build,
            a_take_over,
        ):
            phase(pair, post, folder)
            print(f"{phase.__name__}: {time.monotonic() - started:.0f} s since the beginning")
    unasked = Counter(post.subjects) - post.expected
    # The rest of the count-down; and the old primary, once it is backup, looks for the new one by a name of no host.
    by_name = {subject for subject in post.subjects if subject.startswith("[localhost] The primary is not reachable")}
    count_down = {subject for subject in post.subjects if "does not answer: take-over in" in subject}
    assert set(unasked) <= count_down | by_name
    assert sum(unasked.values()) <= 3 + len(by_name)
    assert {receiver for receivers in mailbox.receivers for receiver in receivers} == {"on-call@example.com"}


def configure(pair: LivePair, browser: Browser, port: int) -> None:
    """The mail server is entered on the primary and is on the backup by data-sync."""
    console = Console.of(browser, pair.site1)
    console.log_in()
    console.configure_mail(relay=("127.0.0.1", port), sender="failover@example.com", receivers="on-call@example.com")
    wishes(pair.site2, connectivity_test_ips="127.0.0.1", enable_automatic_failover=False)
    done = pair.site2.manage("sync_now")
    assert done.returncode == 0, done.stderr
    rows = "SELECT relay_port FROM appliances_emailconfiguration"
    wait_for("the configuration is on the backup", lambda: pair.site2.rows(rows) == [(port,)])


def what_does_not_need_silence(pair: LivePair, post: Post, folder: Path) -> None:
    """Conditions 2, 3, 5, 6, 7, 8, and that no backup has pulled data."""
    malfunctioning = "[site2.example.com] This backup is malfunctioning"
    begun, over = (
        (
            "[site2.example.com] Backup operations are disabled",
            "[site2.example.com] No network connectivity test IP answers",
            malfunctioning,
            "[site2.example.com] The primary is not reachable by its host name no-such-host.invalid",
            "[no-such-host.invalid] No network connectivity test IP answers",
            "[no-such-host.invalid] No backup has pulled data for 2 h",
            "[no-such-host.invalid] A shared IP is not enabled on the primary",
            "[no-such-host.invalid] A shared IP is not among the addresses of no-such-host.invalid: 127.0.0.9",
        ),
        (
            f"[site2.example.com] {WELL}backup operations are enabled",
            f"[site2.example.com] {WELL}a network connectivity test IP answers",
            f"[site2.example.com] {WELL}site2.example.com is healthy",
            f"[site2.example.com] {WELL}the primary is reachable by its host name localhost",
            f"[localhost] {WELL}a network connectivity test IP answers",
            f"[localhost] {WELL}a backup has pulled data",
            f"[localhost] {WELL}the shared IPs are enabled on the primary",
            f"[localhost] {WELL}every shared IP is among the addresses of localhost",
        ),
    )
    wishes(pair.site2, enable_backup_operations=False, connectivity_test_ips=NOWHERE)
    shell(pair.site1, NAME.format(name="no-such-host.invalid"))
    shell(pair.site1, PULLED.format(minutes=120))
    shell(pair.site1, SHARED_IPS.format(enabled=False))
    post.wait_for(*(subject for subject in begun if subject != malfunctioning))  # the primary asks the peer's test IPs
    with stopped(pair.site2, "gunicorn"):
        post.wait_for(malfunctioning)
    text = post.text_of(begun[0])
    assert f"WHERE: https://site2.example.com:{PORT}/login/management/failover/" in text
    shell(pair.site1, SHARED_IPS.format(enabled=True))
    shell(pair.site1, NAME.format(name="localhost"))
    wishes(pair.site2, enable_backup_operations=True, connectivity_test_ips="127.0.0.1")
    assert pair.site2.manage("sync_now").returncode == 0
    post.wait_for(*over)


def a_primary_that_stands_still(pair: LivePair, post: Post, folder: Path) -> None:
    """Condition 9: automatic failover is off."""
    subject = "[site2.example.com] The primary localhost does not answer"
    with stopped(pair.site1):
        post.wait_for(subject)
    assert "automatic failover is off" in post.text_of(subject)
    post.wait_for(f"[site2.example.com] {WELL}the primary localhost answers")


def a_backup_that_is_cut_off(pair: LivePair, post: Post, folder: Path) -> None:
    """Condition 4: neither the primary nor any test IP. It takes the place of the silence of the primary.

    Where the test IP answers three seconds later than the primary, that is told instead, and its end.
    """
    with stopped(pair.site1):
        post.wait_for("[site2.example.com] The primary localhost does not answer")
        set_test_ips(pair.site2, NOWHERE)
        post.wait_for("[site2.example.com] Neither the primary localhost nor any test IP answers")
    outcome = "SELECT outcome FROM sync_peerview"
    wait_for("the primary answers", lambda: pair.site2.rows(outcome) == [("answered",)], 60)
    set_test_ips(pair.site2, "127.0.0.1")
    no_test_ip = "[site2.example.com] No network connectivity test IP answers"
    post.wait_for_either(
        (f"[site2.example.com] {WELL}the primary localhost and a test IP answer",),
        (no_test_ip, f"[site2.example.com] {WELL}a network connectivity test IP answers"),
    )


def another_build(pair: LivePair, post: Post, folder: Path) -> None:
    """Condition 1: the backup runs another build, which both tell."""
    pair.site2.stop()
    pair.site2.root = copy_of_the_source(folder / "other-build")
    pair.site2.start()
    hosts = ("localhost", "site2.example.com")
    post.wait_for(*(f"[{host}] The product versions of the two appliances differ" for host in hosts))
    pair.site2.stop()
    pair.site2.root = ROOT
    pair.site2.start()
    post.wait_for(*(f"[{host}] {WELL}the two appliances run the same product version" for host in hosts))


def a_take_over(pair: LivePair, post: Post, folder: Path) -> None:
    """Conditions 10 and 11: the count-down, the take-over, and the end when the old primary is the backup.

    The old primary has settings that the backup lacks, so that it waits for a choice.
    """
    wishes(pair.site2, LONG_TIMEOUT, enable_automatic_failover=True)
    status = "SELECT status FROM sync_peerview"
    wait_for(
        "the primary keeps to the timeout",
        lambda: f'"acknowledged_timeout": {LONG_TIMEOUT}.0' in pair.site2.rows(status)[0][0],
    )
    shell(pair.site1, "from appliances.models import Site; Site.objects.update(name='Newer than the data-sync')")
    pair.site1.kill()
    post.wait_for(
        f"[site2.example.com] site2.example.com became primary because localhost was silent for {LONG_TIMEOUT} s"
    )
    count_down = [subject for subject in post.subjects if "localhost does not answer: take-over in" in subject]
    assert 3 <= len(count_down) <= 4
    assert len(set(count_down)) == len(count_down)
    pair.site1.start()
    waits = "[localhost] localhost was superseded by site2.example.com and waits for your choice"
    post.wait_for(waits)
    assert "shows which settings differ" in post.text_of(waits)
    chosen = pair.site1.manage("become_backup", "--yes")
    assert chosen.returncode == 0, chosen.stderr
    assert pair.site1.manage("sync_now").returncode == 0
    post.wait_for(
        f"[localhost] {WELL}localhost is backup",
        f"[site2.example.com] {WELL}localhost is the backup of site2.example.com",
    )
