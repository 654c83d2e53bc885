"""What the conditions of the mails look at: the overview of the pair, and what only they need."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from functools import cached_property

from appliances import shared_ips
from appliances.choices import ProbeOutcome, Role, State, SyncStatus
from appliances.models import FailoverRelationship
from sync import journal, overview, probes
from sync.models import BrakeStop, RoleJournal, StatusEvent, SyncRun
from sync.overview import Overview
from sync.rules.due import pull_threshold
from sync.rules.takeover import TEST_ROUNDS

TAKEOVER_EVENT = "role.20"
ADDRESS_EVENT = "role.5"
TAKEOVER_KEPT = dt.timedelta(days=7)
CORRUPTION_KEPT = dt.timedelta(days=1)
FAILED_RUNS = 3  # in a row: one that failed is tried again, and its reason has often gone by then


@dataclass(frozen=True)
class Sight:
    """The pair at one moment, as the conditions see it."""

    known: Overview
    relationship: FailoverRelationship

    @property
    def role(self) -> Role:
        """The role of this appliance."""
        return self.known.role

    @property
    def state(self) -> State:
        """The state of this appliance in the role protocol."""
        return self.known.state.state

    @cached_property
    def seconds_in_state(self) -> float:
        """Since the role state changed."""
        return journal.seconds_in_state()

    @property
    def is_silent(self) -> bool:
        """Whether the peer has not answered so often that a take-over might be thought of."""
        view = self.known.view
        is_unanswered = view.outcome == ProbeOutcome.SILENT and not self.known.peer_answers
        return is_unanswered and view.consecutive_failures >= probes.times().failures

    @property
    def is_peer_waiting_for_choice(self) -> bool:
        """Whether the peer said last that it waits as superseded primary; not once it has surely fallen silent."""
        return self.known.peer_state == State.P_SUPERSEDED and not self.is_silent

    @cached_property
    def test_ips(self) -> list[str]:
        """The connectivity test IPs that are asked."""
        return probes.all_test_ips()

    @property
    def is_deaf(self) -> bool:
        """Whether no test IP has answered in several rounds."""
        rounds = self.known.view.test_rounds[-TEST_ROUNDS:]
        return bool(self.test_ips) and len(rounds) == TEST_ROUNDS and not any(rounds)

    @property
    def is_hearing(self) -> bool:
        """Whether a test IP answered in the latest round, or none is configured."""
        return not self.test_ips or self.known.view.test_rounds[-1:] == [True]

    @property
    def is_surely_hearing(self) -> bool:
        """Whether a test IP has answered in several rounds, or none is configured."""
        return not self.test_ips or self.known.view.test_rounds[-TEST_ROUNDS:] == [True] * TEST_ROUNDS

    @cached_property
    def shared_ips(self) -> tuple[shared_ips.SharedAddress, ...]:
        """The shared IPs ticked on this appliance, as they are on its interfaces now."""
        return shared_ips.read()

    @property
    def silence(self) -> float | None:
        """Seconds since the send time of the last answered look at the peer; None if that is not known."""
        answered, now = self.known.view.answered_boottime, journal.boottime()
        return now - answered if answered is not None and answered <= now else None

    @cached_property
    def taken_over_at(self) -> dt.datetime | None:
        """When this appliance took the role over by itself, lately and in this relationship."""
        since = max(self.known.now - TAKEOVER_KEPT, self.relationship.established_at)
        events = StatusEvent.objects.filter(event=TAKEOVER_EVENT, at__gte=since).order_by("-at")
        return events.values_list("at", flat=True).first()

    @property
    def is_without_backup_since_takeover(self) -> bool:
        """Whether no backup has pulled data since this appliance took over."""
        at, pulled = self.taken_over_at, self.relationship.last_pulled_at
        return self.role == Role.PRIMARY and at is not None and (pulled is None or pulled < at)

    @property
    def address_trouble(self) -> str:
        """That somebody else answers at a shared IP (row 5), as told since the role state changed, or empty."""
        events = StatusEvent.objects.filter(event=ADDRESS_EVENT, at__gte=RoleJournal.load().changed_at)
        return events.order_by("-at").values_list("sentence", flat=True).first() or ""

    @property
    def corruption(self) -> str:
        """That rows with one id and two contents were found within a day, as Status History tells it, or empty."""
        events = StatusEvent.objects.filter(event="corruption", at__gte=self.known.now - CORRUPTION_KEPT)
        return events.order_by("-at").values_list("sentence", flat=True).first() or ""

    @cached_property
    def pull_threshold(self) -> dt.timedelta:
        """How long no backup may have pulled data."""
        return pull_threshold(self.known.backup_settings.pull_alert_after, self.known.interval)

    @cached_property
    def unpulled_since(self) -> dt.datetime:
        """When a backup last pulled from this primary; before that, when it became primary."""
        moments = [self.relationship.established_at]
        if self.relationship.last_pulled_at is not None:
            moments.append(self.relationship.last_pulled_at)
        if self.known.now - max(moments) > self.pull_threshold:  # else the history need not be asked
            was_backup = StatusEvent.objects.filter(role=Role.BACKUP).order_by("-at").values_list("at", flat=True)
            moments += was_backup[:1]
        return max(moments)

    @cached_property
    def stopped(self) -> list[str]:
        """What would be deleted by what the brake has stopped here."""
        return list(BrakeStop.waiting(self.role).values_list("what", flat=True))

    @cached_property
    def last_runs_failed(self) -> bool:
        """Whether the latest data-syncs of this backup all failed or were refused."""
        since = self.relationship.established_at
        runs = SyncRun.objects.filter(started_at__gte=since).exclude(
            status__in=(SyncStatus.RUNNING, SyncStatus.CANCELLED)
        )
        latest = list(runs.order_by("-started_at").values_list("status", flat=True)[:FAILED_RUNS])
        return len(latest) == FAILED_RUNS and all(status in overview.NOT_DONE for status in latest)


def look() -> Sight | None:
    """The pair now; None while no relationship is established."""
    known = overview.now()
    return Sight(known, known.relationship) if known.relationship else None
